#include <cstdlib>

#include "coca/core/target.hpp"

/// Succeeds if COCA_TARGET names an instruction set that this machine has, and would not take anyway.
int main() {
  const coca::Target named = coca::detail::choose_target();
  const char* name = std::getenv("COCA_TARGET");
  if (name == nullptr || std::string_view(name) != coca::target_name(named)) return 1;
  unsetenv("COCA_TARGET");
  return named == coca::detail::choose_target() ? 1 : 0;
}
