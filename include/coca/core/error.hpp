#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

/// How the library says that an argument is wrong.
namespace coca::inline v0 {

namespace detail {

/// Throws std::invalid_argument with "coca: <argument> is <was>, expected <expected>".
[[noreturn]] inline void reject(std::string_view argument, std::string_view was,
                                std::string_view expected) {
  std::string text = "coca: ";
  text.append(argument).append(" is ").append(was).append(", expected ").append(expected);
  throw std::invalid_argument(text);
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

}  // namespace detail

}  // namespace coca::inline v0
