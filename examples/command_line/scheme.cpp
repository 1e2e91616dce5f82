#include "command_line/scheme.hpp"

#include <utility>

#include "command_line/cli.hpp"
#include "command_line/npy.hpp"

namespace command_line {

namespace {

coca::Rope make_rope(const SchemeArguments& arguments, coca::Index head_dim) {
  coca::RopeOptions options{.dim = head_dim,
                            .base = arguments.base,
                            .rotary_dim = arguments.rotary_dim,
                            .layout = arguments.layout == "interleaved"
                                          ? coca::RopeLayout::interleaved
                                          : coca::RopeLayout::half_split};
  if (!arguments.inv_freq.empty()) {
    const Array file = read_npy(arguments.inv_freq);
    const auto values = file.view<double, 1>();
    options.inv_freq.assign(values.data, values.data + values.shape[0]);
  }
  return coca::Rope(std::move(options));
}

}  // namespace

void add_scheme_options(CLI::App& app, SchemeArguments& a) {
  const std::string group = "Scheme";
  app.add_option("--scheme", a.scheme, "how a query and a key make a score")
      ->check(CLI::IsMember({"dot", "rotary", "coca-strict", "coca-slack", "coca-constrained"}))
      ->capture_default_str()
      ->group(group);
  app.add_option(
         "--key-form", a.key_form,
         "what k is for the CoCA schemes: t (head_dim/2, not negative) or the raw projection "
         "x (head_dim; t = relu of the mean of each pair)")
      ->check(CLI::IsMember({"t", "x"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--layout", a.layout, "how coordinates pair up to rotate")
      ->check(CLI::IsMember({"half-split", "interleaved"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--base", a.base, "theta_j = base^(-2j/rotary_dim)")
      ->capture_default_str()
      ->group(group);
  app.add_option("--rotary-dim", a.rotary_dim, "coordinates that rotate, 0: all")->group(group);
  app.add_option("--inv-freq", a.inv_freq, "a float64 file of theta, rotary_dim/2 numbers")
      ->group(group);
}

AnyScheme make_scheme(const SchemeArguments& arguments, coca::Index head_dim) {
  if (arguments.scheme == "dot") return coca::Dot{};
  const coca::Rope rope = make_rope(arguments, head_dim);
  if (arguments.scheme == "rotary") return coca::Rotary{rope};
  const auto coca_scheme = [&](auto key_form) -> AnyScheme {
    if (arguments.scheme == "coca-strict") return coca::CocaStrict{rope, key_form};
    if (arguments.scheme == "coca-slack") return coca::CocaSlack{rope, key_form};
    return coca::CocaConstrained{rope, key_form};
  };
  if (arguments.key_form == "t") return coca_scheme(coca::NonNegativeT{});
  return coca_scheme(coca::RawProjection{});
}

}  // namespace command_line
