#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "coca/core/compiled.hpp"
#include "coca/core/scalar.hpp"

/// How the library says that an argument is wrong.
namespace coca::inline v0 {

/// Called with the text of an error in place of `throw`, in programs that are compiled without
/// exceptions (-fno-exceptions). It must not return; if it does, the program is aborted.
using ErrorHandler = void (*)(const char* text);

/// Sets what is called for errors where exceptions are off, on all threads, and returns what was so
/// far. Unless set, or set to nullptr, it writes the text to stderr. With exceptions on, nothing calls
/// it. Compile all files of a program with exceptions, or all of them without.
COCA_FUNCTION ErrorHandler set_error_handler(ErrorHandler handler);

namespace detail {

/// Calls the handler, which does not return.
[[noreturn]] COCA_FUNCTION void call_error_handler(const char* text);

/// Throws Exception(text), or calls the handler where there are no exceptions.
template <class Exception>
[[noreturn]] void fail(const std::string& text) {
#if defined(__cpp_exceptions)
  throw Exception(text);
#else
  call_error_handler(text.c_str());
#endif
}

/// Fails as std::invalid_argument with "coca: <argument> is <was>, expected <expected>".
[[noreturn]] COCA_FUNCTION void reject(std::string_view argument, std::string_view was,
                                       std::string_view expected);

/// Joins "[a, b, c]" for a shape in an error text.
COCA_FUNCTION std::string list_text(std::span<const Index> values);

/// Rejects `argument` unless it has the value its neighbours imply; `why` names that neighbour.
COCA_FUNCTION void require_equal(std::string_view argument, Index was, Index expected,
                                 std::string_view why = {});

/// Rejects `argument` if it takes more bytes than can be counted: so many, in double, which has no end.
/// `was()` says what it was.
template <class Was>
void require_countable(std::string_view argument, double bytes, const Was& was) {
  if (bytes <= 0x1p62) return;
  reject(argument, was(), "one whose bytes can be counted");
}

}  // namespace detail

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/core/error-inl.hpp"
#endif
