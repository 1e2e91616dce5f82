#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
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

/// A piece of an error text: words, a number, or a list "[a, b, c]". It keeps nothing, and so is to be put
/// together where it is used; the text is written by reject alone, and callers compile no strings.
class TextPiece {
 public:
  TextPiece(const char* words) : TextPiece(std::string_view(words)) {}
  TextPiece(std::string_view words) : kind_(Kind::words), words_(words) {}
  TextPiece(const std::string& words) : TextPiece(std::string_view(words)) {}
  TextPiece(Index number) : kind_(Kind::integer), integer_(number) {}
  TextPiece(double number) : kind_(Kind::real), real_(number) {}
  TextPiece(std::span<const Index> list) : kind_(Kind::list), list_(list) {}
  template <std::size_t N>
  TextPiece(const std::array<Index, N>& list) : TextPiece(std::span<const Index>(list)) {}

  COCA_FUNCTION void append_to(std::string& text) const;

 private:
  enum class Kind { words, integer, real, list };

  Kind kind_;
  union {
    std::string_view words_;
    Index integer_;
    double real_;
    std::span<const Index> list_;
  };
};

/// One piece, or some in braces.
class Text {
 public:
  Text(const char* words) : piece_(words) {}
  Text(std::string_view words) : piece_(words) {}
  Text(const std::string& words) : piece_(words) {}
  Text(Index number) : piece_(number) {}
  Text(double number) : piece_(number) {}
  Text(std::span<const Index> list) : piece_(list) {}
  Text(std::initializer_list<TextPiece> pieces) : piece_(""), pieces_(pieces) {}

  COCA_FUNCTION void append_to(std::string& text) const;

 private:
  TextPiece piece_;
  std::initializer_list<TextPiece> pieces_{};  ///< what follows it
};

/// Fails as std::invalid_argument with "coca: <argument> is <was>, expected <expected>".
[[noreturn, gnu::cold]] COCA_FUNCTION void reject(const Text& argument, const Text& was,
                                                  const Text& expected);

/// Joins "[a, b, c]" for a shape in an error text.
COCA_FUNCTION std::string list_text(std::span<const Index> values);

/// Rejects `argument` unless it has the value its neighbours imply; `why` names that neighbour.
COCA_FUNCTION void require_equal(const Text& argument, Index was, Index expected,
                                 std::string_view why = {});

/// Rejects `argument` if it takes more bytes than can be counted: so many, in double, which has no end.
/// `was()` says what it was.
template <class Was>
void require_countable(const Text& argument, double bytes, const Was& was) {
  if (bytes <= 0x1p62) return;
  reject(argument, was(), "one whose bytes can be counted");
}

}  // namespace detail

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/core/error-inl.hpp"
#endif
