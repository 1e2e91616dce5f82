#include "command_line/scheme.hpp"

#include <utility>

#include "command_line/cli.hpp"
#include "command_line/npy.hpp"
#include "hugging_face/checkpoint.hpp"
#include "hugging_face/rope_config.hpp"

namespace command_line {

namespace {

std::vector<double> read_weights(const std::string& path) {
  const Array file = read_npy(path);
  const auto matrix = file.view<double, 2>();
  std::vector<double> values;
  for (coca::Index i = 0; i < matrix.shape[0]; ++i) {
    for (coca::Index j = 0; j < matrix.shape[1]; ++j) values.push_back(matrix(i, j));
  }
  return values;
}

coca::RopeScaling make_scaling(const SchemeArguments& arguments) {
  const double factor = arguments.scaling_factor;
  const coca::Index trained = arguments.trained_length;
  if (arguments.scaling == "linear") return coca::Linear{factor};
  if (arguments.scaling == "ntk") return coca::NtkAware{factor};
  if (arguments.scaling == "dynamic") return coca::DynamicNtk{factor, trained};
  if (arguments.scaling == "yarn") return coca::Yarn{.factor = factor, .trained_length = trained};
  if (arguments.scaling == "llama3")
    return coca::Llama3{.factor = factor, .trained_length = trained};
  if (arguments.scaling == "clex") {
    return coca::Clex{.up = read_weights(arguments.clex_up),
                      .down = read_weights(arguments.clex_down),
                      .trained_length = trained,
                      .max_factor = arguments.clex_max_factor};
  }
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
  CLI::Option* xpos =
      app.add_flag("--xpos", a.xpos, "the decay of xPos on every pair of a score")->group(group);

  const std::string longer = "Longer contexts";
  CLI::Option* scaling =
      app.add_option("--rope-scaling", a.scaling, "how frequencies change")
          ->check(CLI::IsMember({"none", "linear", "ntk", "dynamic", "yarn", "llama3", "clex"}))
          ->capture_default_str()
          ->excludes(inv_freq)
          ->group(longer);
  app.add_option("--scaling-factor", a.scaling_factor, "times the trained length")
      ->needs(scaling)
      ->group(longer);
  app.add_option("--trained-length", a.trained_length,
                 "dynamic, yarn, llama3, clex: tokens the model was trained for")
      ->needs(scaling)
      ->group(longer);
  CLI::Option* config =
      app.add_option("--rope-config", a.rope_config, "a Hugging Face config.json: the whole rope")
          ->group(longer);
  for (CLI::Option* other : {base, rotary_dim, inv_freq, scaling}) config->excludes(other);
  app.add_option("--clex-up", a.clex_up,
                 "clex: a float64 file of the weights that lead up, [rotary_dim/2, width]")
      ->group(longer);
  app.add_option("--clex-down", a.clex_down,
                 "clex: and of those that lead down, their transpose's shape")
      ->group(longer);
  app.add_option("--clex-max-factor", a.clex_max_factor, "clex: at most so many trained lengths")
      ->capture_default_str()
      ->group(longer);
  app.add_option("--distance-ceiling", a.distance_ceiling,
                 "keys farther behind than so many tokens are as if at that distance (LM-Infinite)")
      ->group(longer);

  const std::string several = "Positions of several axes (M-RoPE)";
  CLI::Option* ids =
      app.add_option(
             "--mrope-ids", a.mrope_ids,
             "an int64 file [axes, batch or 1, tokens], or [axes, tokens]: where each token is")
          ->excludes(xpos)
          ->group(several);
  CLI::Option* sections =
      app.add_option("--mrope-sections", a.mrope_sections,
                     "how many pairs turn by each axis, with commas; rotary_dim/2 in all")
          ->delimiter(',')
          ->allow_extra_args(false)
          ->check(CLI::NonNegativeNumber)
          ->needs(ids)
          ->group(several);
  ids->needs(sections);
  app.add_flag("--mrope-in-turn", a.mrope_in_turn,
               "pairs take the axes in turn, as in Qwen3-VL, rather than section by section")
      ->needs(ids)
      ->group(several);
}

void check_scheme_options(const CLI::App& app, const SchemeArguments& arguments) {
  const auto given = [&](const char* flag) { return app.count(flag) > 0; };
  if (arguments.scheme == "dot") {
    for (const char* flag : {"--rope-scaling", "--rope-config", "--xpos", "--mrope-ids"}) {
      if (given(flag)) throw CLI::ValidationError(flag, "goes with a rope, which dot has not");
    }
  }
  const bool clex = arguments.scaling == "clex";
  for (const char* flag : {"--clex-up", "--clex-down", "--clex-max-factor"}) {
    if (given(flag) && !clex) throw CLI::ValidationError(flag, "goes with --rope-scaling clex");
  }
  for (const char* flag : {"--clex-up", "--clex-down"}) {
    if (clex && !given(flag))
      throw CLI::ValidationError("--rope-scaling clex", std::string("needs ") + flag);
  }
}

SchemeOfLength::SchemeOfLength(const SchemeArguments& arguments, coca::Index head_dim)
    : arguments_(arguments) {
  if (arguments.scheme == "dot") return;
  rope_ = make_rope(arguments, head_dim);
  axes_.assign(static_cast<std::size_t>(rope_->rotary_dim() / 2), 0);
  ids_.shape = {1, 1, 0};
  if (arguments.mrope_ids.empty()) return;
  const std::vector<coca::Index>& sections = arguments.mrope_sections;
  axes_ = arguments.mrope_in_turn ? coca::axes_in_turn(sections) : coca::axes_by_section(sections);
  ids_file_ = read_npy(arguments.mrope_ids);
  if (ids_file_.shape.size() == 2) {
    const auto ids = ids_file_.view<coca::Position, 2>();
    ids_ = {ids.data, {ids.shape[0], 1, ids.shape[1]}, {ids.strides[0], 0, ids.strides[1]}};
  } else {
    ids_ = ids_file_.view<coca::Position, 3>();
  }
}

coca::MultiRope SchemeOfLength::placed(coca::Rope rope) const {
  return coca::MultiRope(std::move(rope), axes_, ids_);
}

AnyScheme SchemeOfLength::operator()(coca::Index length) const {
  if (!rope_) return coca::Dot{};
  const coca::MultiRope rope = placed(rope_->at_length(length));
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
