#pragma once

#include <coca/coca.hpp>
#include <string>

namespace CLI {
class App;
}

namespace command_line {

/// The flags that choose a scheme and its rope.
struct SchemeArguments {
  std::string scheme = "coca-slack";
  std::string key_form = "t";
  std::string layout = "half-split";
  double base = 10000.0;
  coca::Index rotary_dim = 0;
  std::string inv_freq;
};

void add_scheme_options(CLI::App& app, SchemeArguments& arguments);

/// For a program that must offer all schemes, one kernel to compile instead of eight.
using AnyScheme =
    coca::OneOf<coca::Dot, coca::Rotary, coca::CocaStrict<>, coca::CocaStrict<coca::RawProjection>,
                coca::CocaSlack<>, coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<>,
                coca::CocaConstrained<coca::RawProjection>>;

/// The scheme the arguments name.
AnyScheme make_scheme(const SchemeArguments& arguments, coca::Index head_dim);

}  // namespace command_line
