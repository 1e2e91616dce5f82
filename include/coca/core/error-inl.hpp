#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "coca/core/error.hpp"

namespace coca::inline v0 {

namespace detail {

inline void print_error(const char* text) { std::fprintf(stderr, "%s\n", text); }

inline std::atomic<ErrorHandler>& error_handler() {
  static std::atomic<ErrorHandler> handler{print_error};
  return handler;
}

[[noreturn]] COCA_FUNCTION void call_error_handler(const char* text) {
  error_handler().load()(text);
  std::abort();
}

COCA_FUNCTION void TextPiece::append_to(std::string& text) const {
  const auto print = [&](const char* format, auto number) {
    char digits[400];  // the largest double has 309 of them
    std::snprintf(digits, sizeof digits, format, number);
    text += digits;
  };
  switch (kind_) {
    case Kind::words:
      text += words_;
      break;
    case Kind::integer:
      print("%lld", static_cast<long long>(integer_));
      break;
    case Kind::real:
      print("%f", real_);
      break;
    case Kind::list:
      text += "[";
      for (const Index& value : list_) {
        if (&value != list_.data()) text += ", ";
        TextPiece(value).append_to(text);
      }
      text += "]";
      break;
  }
}

COCA_FUNCTION void Text::append_to(std::string& text) const {
  piece_.append_to(text);
  for (const TextPiece& piece : pieces_) piece.append_to(text);
}

[[noreturn, gnu::cold]] COCA_FUNCTION void reject(const Text& argument, const Text& was,
                                                  const Text& expected) {
  std::string text = "coca: ";
  argument.append_to(text);
  text += " is ";
  was.append_to(text);
  text += ", expected ";
  expected.append_to(text);
  fail<std::invalid_argument>(text);
}

COCA_FUNCTION std::string list_text(std::span<const Index> values) {
  std::string text;
  TextPiece(values).append_to(text);
  return text;
}

COCA_FUNCTION void require_equal(const Text& argument, Index was, Index expected,
                                 std::string_view why) {
  if (was == expected) return;
  if (why.empty()) reject(argument, was, expected);
  reject(argument, was, {expected, " (", why, ")"});
}

}  // namespace detail

COCA_FUNCTION ErrorHandler set_error_handler(ErrorHandler handler) {
  return detail::error_handler().exchange(handler == nullptr ? detail::print_error : handler);
}

}  // namespace coca::inline v0
