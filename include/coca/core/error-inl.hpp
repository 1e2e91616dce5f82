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

[[noreturn]] COCA_FUNCTION void reject(std::string_view argument, std::string_view was,
                                       std::string_view expected) {
  std::string text = "coca: ";
  text.append(argument).append(" is ").append(was).append(", expected ").append(expected);
  fail<std::invalid_argument>(text);
}

COCA_FUNCTION std::string list_text(std::span<const Index> values) {
  std::string text = "[";
  for (const Index value : values) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(value);
  }
  return text + "]";
}

COCA_FUNCTION void require_equal(std::string_view argument, Index was, Index expected,
                                 std::string_view why) {
  if (was == expected) return;
  std::string wanted = std::to_string(expected);
  if (!why.empty()) wanted.append(" (").append(why).append(")");
  reject(argument, std::to_string(was), wanted);
}

}  // namespace detail

COCA_FUNCTION ErrorHandler set_error_handler(ErrorHandler handler) {
  return detail::error_handler().exchange(handler == nullptr ? detail::print_error : handler);
}

}  // namespace coca::inline v0
