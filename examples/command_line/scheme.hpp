#pragma once

#include <coca/coca.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "command_line/npy.hpp"

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
  std::string clex_up;
  std::string clex_down;
  coca::Index clex_max_factor = coca::Clex{}.max_factor;
  std::string mrope_ids;
  std::vector<coca::Index> mrope_sections;
  bool mrope_in_turn = false;
  std::optional<coca::Index> distance_ceiling;
};

void add_scheme_options(CLI::App& app, SchemeArguments& arguments);

/// What each flag allows but all of them together do not. Throws CLI::ValidationError.
void check_scheme_options(const CLI::App& app, const SchemeArguments& arguments);

/// For a program that must offer all schemes, one kernel to compile instead of fifteen. A MultiRope
/// without ids is a rope.
template <class... S>
using WithXPos = coca::OneOf<coca::Dot, S..., coca::XPos<S>...>;
template <class T, class X, class R = coca::MultiRope>
using OfKeyForms =
    WithXPos<coca::Rotary<R>, coca::CocaStrict<T, R>, coca::CocaStrict<X, R>, coca::CocaSlack<T, R>,
             coca::CocaSlack<X, R>, coca::CocaConstrained<T, R>, coca::CocaConstrained<X, R>>;
using AnyScheme = OfKeyForms<coca::NonNegativeT, coca::RawProjection>;

/// The scheme the arguments name. Where its rope follows the length of the sequence, it is another one
/// for each length.
class SchemeOfLength {
 public:
  SchemeOfLength(const SchemeArguments& arguments, coca::Index head_dim);

  AnyScheme operator()(coca::Index length) const;

  /// Calls run(scheme) with that of a length, under the ceiling on the distance if there is one.
  template <class Run>
  void with(coca::Index length, const Run& run) const {
    AnyScheme scheme = (*this)(length);
    if (!arguments_.distance_ceiling) return run(scheme);
    run(coca::DistanceCeiling{std::move(scheme), *arguments_.distance_ceiling});
  }

 private:
  coca::MultiRope placed(coca::Rope rope) const;

  const SchemeArguments& arguments_;
  std::optional<coca::Rope> rope_;           ///< none for dot
  std::vector<coca::Index> axes_;            ///< of each pair
  Array ids_file_;                           ///< of positions
  coca::View<const coca::Position, 3> ids_;  ///< none of them, where there is no file
};

}  // namespace command_line
