#include "command_line/scheme.hpp"

#include <utility>

#include "command_line/cli.hpp"
#include "command_line/npy.hpp"
#include "hugging_face/checkpoint.hpp"
#include "hugging_face/rope_config.hpp"

namespace command_line {

namespace {

coca::RopeScaling make_scaling(const SchemeArguments& arguments) {
  const double factor = arguments.scaling_factor;
  const coca::Index trained = arguments.trained_length;
  if (arguments.scaling == "linear") return coca::Linear{factor};
  if (arguments.scaling == "ntk") return coca::NtkAware{factor};
  if (arguments.scaling == "dynamic") return coca::DynamicNtk{factor, trained};
  if (arguments.scaling == "yarn") return coca::Yarn{.factor = factor, .trained_length = trained};
  if (arguments.scaling == "llama3")
    return coca::Llama3{.factor = factor, .trained_length = trained};
  return {};
}

coca::Rope make_rope(const SchemeArguments& arguments, coca::Index head_dim) {
  if (!arguments.rope_config.empty()) {
    const nlohmann::json config = hugging_face::read_json(arguments.rope_config);
    try {
      return hugging_face::rope_from_config(config);
    } catch (const nlohmann::json::exception& error) {
      throw FileError(arguments.rope_config + ": " + error.what());
    }
  }
  coca::RopeOptions options{.dim = head_dim,
                            .base = arguments.base,
                            .rotary_dim = arguments.rotary_dim,
                            .layout = arguments.layout == "interleaved"
                                          ? coca::RopeLayout::interleaved
                                          : coca::RopeLayout::half_split,
                            .scaling = make_scaling(arguments)};
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
  CLI::Option* base = app.add_option("--base", a.base, "theta_j = base^(-2j/rotary_dim)")
                          ->capture_default_str()
                          ->group(group);
  CLI::Option* rotary_dim =
      app.add_option("--rotary-dim", a.rotary_dim, "coordinates that rotate, 0: all")->group(group);
  CLI::Option* inv_freq =
      app.add_option("--inv-freq", a.inv_freq, "a float64 file of theta, rotary_dim/2 numbers")
          ->group(group);
  app.add_flag("--xpos", a.xpos, "the decay of xPos on every pair of a score")->group(group);

  const std::string longer = "Longer contexts";
  CLI::Option* scaling =
      app.add_option("--rope-scaling", a.scaling, "how frequencies change")
          ->check(CLI::IsMember({"none", "linear", "ntk", "dynamic", "yarn", "llama3"}))
          ->capture_default_str()
          ->excludes(inv_freq)
          ->group(longer);
  app.add_option("--scaling-factor", a.scaling_factor, "times the trained length")
      ->needs(scaling)
      ->group(longer);
  app.add_option("--trained-length", a.trained_length,
                 "dynamic, yarn, llama3: tokens the model was trained for")
      ->needs(scaling)
      ->group(longer);
  CLI::Option* config =
      app.add_option("--rope-config", a.rope_config, "a Hugging Face config.json: the whole rope")
          ->group(longer);
  for (CLI::Option* other : {base, rotary_dim, inv_freq, scaling}) config->excludes(other);
}

SchemeOfLength::SchemeOfLength(const SchemeArguments& arguments, coca::Index head_dim)
    : arguments_(arguments) {
  if (arguments.scheme != "dot") rope_ = make_rope(arguments, head_dim);
}

AnyScheme SchemeOfLength::operator()(coca::Index length) const {
  if (!rope_) return coca::Dot{};
  const coca::Rope rope = rope_->at_length(length);
  const auto decayed = [&](auto scheme) -> AnyScheme {
    if (arguments_.xpos) return coca::XPos{scheme, {.centre = length / 2}};
    return scheme;
  };
  if (arguments_.scheme == "rotary") return decayed(coca::Rotary{rope});
  const auto coca_scheme = [&](auto key_form) -> AnyScheme {
    if (arguments_.scheme == "coca-strict") return decayed(coca::CocaStrict{rope, key_form});
    if (arguments_.scheme == "coca-slack") return decayed(coca::CocaSlack{rope, key_form});
    return decayed(coca::CocaConstrained{rope, key_form});
  };
  if (arguments_.key_form == "t") return coca_scheme(coca::NonNegativeT{});
  return coca_scheme(coca::RawProjection{});
}

}  // namespace command_line
