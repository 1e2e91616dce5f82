#pragma once

#include <coca/coca.hpp>
#include <optional>

#include "arguments.hpp"
#include "command_line/npy.hpp"

namespace attend {

/// Any of the library's masks together, chosen at run time: for a program that must offer all of
/// them, one kernel to compile instead of one for every combination.
template <class T>
class AnyMask : public coca::MaskDefaults {
 public:
  explicit AnyMask(const Arguments& arguments) {
    for (const std::string& name : arguments.masks) {
      if (name == "causal") causal_.emplace(arguments.causal_offset);
      if (name == "prefix-lm") prefix_lm_.emplace(arguments.prefix);
      if (name == "window") {
        window_.emplace(side(arguments.window_left), side(arguments.window_right));
      }
    }
    if (!arguments.bool_mask.empty()) {
      boolean_file_ = command_line::read_npy(arguments.bool_mask);
      boolean_.emplace(four_axes<bool>(boolean_file_));
    }
    if (!arguments.bias.empty()) {
      bias_file_ = command_line::read_npy(arguments.bias);
      bias_.emplace(four_axes<T>(bias_file_));
    }
  }

  void check(const coca::AttentionShape& shape) const {
    each([&](const auto& mask) { mask.check(shape); });
  }
  coca::Coverage classify(const coca::MaskTile& tile) const {
    auto result = coca::Coverage::full;
    each([&](const auto& mask) {
      const coca::Coverage one = mask.classify(tile);
      if (one == coca::Coverage::empty || result == coca::Coverage::full) result = one;
    });
    return result;
  }
  bool visible(const coca::Site& site) const {
    bool result = true;
    each([&](const auto& mask) { result = result && mask.visible(site); });
    return result;
  }
  coca::Accumulator<T> bias(const coca::Site& site) const {
    return bias_ ? bias_->bias(site) : coca::Accumulator<T>(0);
  }

 private:
  static coca::Index side(coca::Index tokens) {
    return tokens < 0 ? coca::SlidingWindow::unlimited : tokens;
  }
  template <class X>
  static coca::View<const X, 4> four_axes(const command_line::Array& file) {
    if (!file.is_matrix()) return file.view<X, 4>();
    const auto matrix = file.view<X, 2>();
    return {matrix.data,
            {1, 1, matrix.shape[0], matrix.shape[1]},
            {0, 0, matrix.strides[0], matrix.strides[1]}};
  }
  template <class Visit>
  void each(Visit&& visit) const {
    if (causal_) visit(*causal_);
    if (window_) visit(*window_);
    if (prefix_lm_) visit(*prefix_lm_);
    if (boolean_) visit(*boolean_);
    if (bias_) visit(*bias_);
  }

  std::optional<coca::Causal> causal_;
  std::optional<coca::SlidingWindow> window_;
  std::optional<coca::PrefixLm> prefix_lm_;
  std::optional<coca::BooleanMask> boolean_;
  std::optional<coca::AdditiveBias<T>> bias_;
  command_line::Array boolean_file_;
  command_line::Array bias_file_;
};

}  // namespace attend
