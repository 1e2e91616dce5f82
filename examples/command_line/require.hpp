#pragma once

#include <coca/core/scalar.hpp>
#include <span>
#include <stdexcept>
#include <string>

/// How the examples say that an argument is wrong, in the words of the library's own messages.
namespace command_line {

inline std::string text_of(coca::Index value) { return std::to_string(value); }

/// "[2, 3]"
inline std::string text_of(std::span<const coca::Index> values) {
  std::string text;
  for (const coca::Index value : values) {
    if (!text.empty()) text += ", ";
    text += std::to_string(value);
  }
  return "[" + text + "]";
}

/// Throws std::invalid_argument, "<name> is <was>, expected <expected>", unless `ok`.
template <class Was>
void require(bool ok, const std::string& name, const Was& was, const std::string& expected) {
  if (ok) return;
  throw std::invalid_argument(name + " is " + text_of(was) + ", expected " + expected);
}

}  // namespace command_line
