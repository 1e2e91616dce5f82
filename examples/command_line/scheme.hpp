#pragma once

#include <coca/coca.hpp>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace command_line {

/// The flags that choose a scheme and its rope.
struct SchemeArguments {
  std::string scheme = "coca-slack";
  std::string key_form = "t";
  bool xpos = false;
  std::string layout = "half-split";
  double base = 10000.0;
  coca::Index rotary_dim = 0;
  std::string inv_freq;
  std::string scaling = "none";
  double scaling_factor = 1.0;
  coca::Index trained_length = 0;
  std::string rope_config;
};

void add_scheme_options(CLI::App& app, SchemeArguments& arguments);

/// For a program that must offer all schemes, one kernel to compile instead of fifteen.
template <class... S>
using WithXPos = coca::OneOf<coca::Dot, S..., coca::XPos<S>...>;
using AnyScheme =
    WithXPos<coca::Rotary<>, coca::CocaStrict<>, coca::CocaStrict<coca::RawProjection>,
             coca::CocaSlack<>, coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<>,
             coca::CocaConstrained<coca::RawProjection>>;

/// The scheme the arguments name. Where its rope follows the length of the sequence, it is another one
/// for each length.
class SchemeOfLength {
 public:
  SchemeOfLength(const SchemeArguments& arguments, coca::Index head_dim);

  AnyScheme operator()(coca::Index length) const;

 private:
  const SchemeArguments& arguments_;
  std::optional<coca::Rope> rope_;  ///< none for dot
};

}  // namespace command_line
