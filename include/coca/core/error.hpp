#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

/// How the library says that an argument is wrong.
namespace coca::inline v0 {

/// Called with the text of an error in place of `throw`, in programs that are compiled without
/// exceptions (-fno-exceptions). It must not return; if it does, the program is aborted.
using ErrorHandler = void (*)(const char* text);

namespace detail {

inline void print_error(const char* text) { std::fprintf(stderr, "%s\n", text); }

inline std::atomic<ErrorHandler>& error_handler() {
  static std::atomic<ErrorHandler> handler{print_error};
  return handler;
}

/// Throws Exception(text), or calls the handler where there are no exceptions.
template <class Exception>
[[noreturn]] void fail(const std::string& text) {
#if defined(__cpp_exceptions)
  throw Exception(text);
#else
  error_handler().load()(text.c_str());
  std::abort();
#endif
}

}  // namespace detail

/// Sets what is called for errors where exceptions are off, on all threads, and returns what was so
/// far. Unless set, or set to nullptr, it writes the text to stderr. With exceptions on, nothing calls
/// it. Compile all files of a program with exceptions, or all of them without.
inline ErrorHandler set_error_handler(ErrorHandler handler) {
  return detail::error_handler().exchange(handler == nullptr ? detail::print_error : handler);
}

namespace detail {

/// Fails as std::invalid_argument with "coca: <argument> is <was>, expected <expected>".
[[noreturn]] inline void reject(std::string_view argument, std::string_view was,
                                std::string_view expected) {
  std::string text = "coca: ";
  text.append(argument).append(" is ").append(was).append(", expected ").append(expected);
  fail<std::invalid_argument>(text);
}

/// Joins "[a, b, c]" for a shape in an error text.
template <class Range>
std::string list_text(const Range& values) {
  std::string text = "[";
  for (const auto value : values) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(value);
  }
  return text + "]";
}

/// Rejects `argument` unless it has the value its neighbours imply; `why` names that neighbour.
template <class Integer>
void require_equal(std::string_view argument, Integer was, Integer expected,
                   std::string_view why = {}) {
  if (was == expected) return;
  std::string wanted = std::to_string(expected);
  if (!why.empty()) wanted.append(" (").append(why).append(")");
  reject(argument, std::to_string(was), wanted);
}

/// Rejects `argument` if it takes more bytes than can be counted: so many, in double, which has no end.
/// `was()` says what it was.
template <class Was>
void require_countable(std::string_view argument, double bytes, const Was& was) {
  if (bytes <= 0x1p62) return;
  reject(argument, was(), "one whose bytes can be counted");
}

}  // namespace detail

}  // namespace coca::inline v0
