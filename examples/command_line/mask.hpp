#pragma once

#include <algorithm>
#include <coca/coca.hpp>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "command_line/npy.hpp"

namespace CLI {
class App;
}

namespace command_line {

/// The flags that choose masks and biases.
struct MaskArguments {
  std::vector<std::string> masks;      ///< a query sees what all of them show
  std::vector<std::string> any_masks;  ///< and what one of these shows, if there are any
  coca::Position causal_offset = 0;
  coca::Index window_left = -1;
  coca::Index window_right = -1;
  coca::Position prefix = 0;
  coca::Position sink_tokens = 0;
  coca::Index dilation = 1;
  std::vector<coca::Position> global_tokens;
  std::string documents;
  coca::Index block_size = 0;
  std::string blocks;
  bool alibi = false;
};

/// The name of their group in what --help prints.
inline constexpr const char* kMaskGroup = "Mask (a query sees what all of them show)";

void add_mask_options(CLI::App& app, MaskArguments& arguments);

/// What each flag allows but all of them together do not. Throws CLI::ValidationError.
void check_mask_options(const CLI::App& app, const MaskArguments& arguments);

/// Any of the library's masks together, chosen at run time: for a program that must offer all of
/// them, one kernel to compile instead of one for every combination.
class AnyMask : public coca::MaskDefaults {
  using Hiding = std::variant<coca::Full, coca::Causal, coca::SlidingWindow, coca::DilatedWindow,
                              coca::PrefixLm, coca::SinkTokens, coca::GlobalTokens, coca::Documents,
                              coca::BlockSparse, coca::BooleanMask, coca::AdditiveBias<float>,
                              coca::AdditiveBias<double>, coca::AdditiveBias<Eigen::half>>;

 public:
  AnyMask(const MaskArguments& arguments, coca::Index query_heads) {
    for (const std::string& name : arguments.masks) all_.push_back(make(name, arguments));
    for (const std::string& name : arguments.any_masks) any_.push_back(make(name, arguments));
    if (arguments.alibi) alibi_.emplace(query_heads);
  }
  /// Hides what a file of bool says as well.
  void add_boolean(const std::string& path) {
    all_.push_back(coca::BooleanMask(four_axes<bool>(read(path))));
  }
  /// Adds the biases of a file of T.
  template <class T>
  void add_bias(const std::string& path) {
    bias_ = coca::AdditiveBias<T>(four_axes<T>(read(path)));
    all_.push_back(bias_);
  }

  void check(const coca::AttentionShape& shape) const {
    for (const auto* masks : {&all_, &any_}) {
      for (const Hiding& one : *masks) {
        std::visit([&](const auto& mask) { mask.check(shape); }, one);
      }
    }
  }
  coca::Coverage classify(const coca::MaskTile& tile) const {
    using coca::Coverage;
    bool full = true;
    for (const Hiding& mask : all_) {
      const Coverage one = classify(mask, tile);
      if (one == Coverage::empty) return one;
      full = full && one == Coverage::full;
    }
    if (any_.empty()) return full ? Coverage::full : Coverage::mixed;
    bool seen = false;
    for (const Hiding& mask : any_) {
      const Coverage one = classify(mask, tile);
      if (one == Coverage::full) return full ? one : Coverage::mixed;
      seen = seen || one == Coverage::mixed;
    }
    return seen ? Coverage::mixed : Coverage::empty;
  }
  bool visible(const coca::Site& site) const {
    const auto shows = [&](const Hiding& one) {
      return std::visit([&](const auto& mask) { return mask.visible(site); }, one);
    };
    return std::ranges::all_of(all_, shows) && (any_.empty() || std::ranges::any_of(any_, shows));
  }
  double bias(const coca::Site& site) const {
    return std::visit(
        [&](const auto& mask) {
          if constexpr (coca::Biased<std::remove_cvref_t<decltype(mask)>>) {
            return static_cast<double>(mask.bias(site));
          } else {
            return 0.0;
          }
        },
        bias_);
  }
  double slope(coca::Index head) const { return alibi_ ? alibi_->slope(head) : 0.0; }

 private:
  static coca::Coverage classify(const Hiding& one, const coca::MaskTile& tile) {
    return std::visit([&](const auto& mask) { return mask.classify(tile); }, one);
  }

  Hiding make(const std::string& name, const MaskArguments& arguments) {
    if (name == "causal") return coca::Causal(arguments.causal_offset);
    if (name == "prefix-lm") return coca::PrefixLm(arguments.prefix);
    if (name == "sinks") return coca::SinkTokens(arguments.sink_tokens);
    if (name == "global") return coca::GlobalTokens(arguments.global_tokens);
    if (name == "window") {
      const auto side = [](coca::Index tokens) {
        return tokens < 0 ? coca::SlidingWindow::unlimited : tokens;
      };
      const coca::Index left = side(arguments.window_left);
      const coca::Index right = side(arguments.window_right);
      if (arguments.dilation > 1) return coca::DilatedWindow(left, right, arguments.dilation);
      return coca::SlidingWindow(left, right);
    }
    if (name == "documents") {
      return coca::Documents(read(arguments.documents).view<coca::Position, 2>());
    }
    if (name == "blocks") {
      const Array& file = read(arguments.blocks);
      const auto pairs = file.view<coca::Position, 2>();
      if (pairs.shape[1] != 2) {
        throw FileError(file.path + ": pairs are [count, 2]");
      }
      std::vector<coca::BlockSparse::Block> blocks;
      for (coca::Index i = 0; i < pairs.shape[0]; ++i)
        blocks.emplace_back(pairs(i, 0), pairs(i, 1));
      return coca::BlockSparse(arguments.block_size, std::move(blocks));
    }
    return coca::Full{};
  }
  /// A file that masks look into, of this one and of its copies.
  const Array& read(const std::string& path) {
    return *files_.emplace_back(std::make_shared<const Array>(read_npy(path)));
  }
  template <class X>
  static coca::View<const X, 4> four_axes(const Array& file) {
    if (!file.is_matrix()) return file.view<X, 4>();
    const auto matrix = file.view<X, 2>();
    return {matrix.data,
            {1, 1, matrix.shape[0], matrix.shape[1]},
            {0, 0, matrix.strides[0], matrix.strides[1]}};
  }

  std::vector<Hiding> all_;
  std::vector<Hiding> any_;
  Hiding bias_;  ///< what adds to scores; Full, if nothing does
  std::optional<coca::Alibi> alibi_;
  std::vector<std::shared_ptr<const Array>> files_;
};

}  // namespace command_line
