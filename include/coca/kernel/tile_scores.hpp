#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/scheme.hpp"

/// What becomes of the products of a tile before they are weights: the scheme's logits, the soft-cap
/// and the mask.
namespace coca::inline v0::detail {

/// Rows of scores are `stride` apart. Where derivatives are asked for, they are those of the natural scores by the
/// products, one beside each score.
template <Real T>
class TileScores {
 public:
  /// `logits`: those of the scheme, with derivatives or without; null if it leaves them alone. `gradients`: null
  /// where no derivatives are asked for.
  TileScores(const KernelCall<T>& call, const TileEngine<T>& engine, const ItemRows& rows,
             Index stride, void (*logits)(const void*, const LogitTile<T>&, T),
             const GradientFunctions<T>* gradients = nullptr)
      : call_(call),
        engine_(engine),
        gradients_(gradients),
        rows_(rows),
        stride_(stride),
        logits_(logits) {}

  /// What phi is multiplied by, so that products come as they are wanted: by hooks in natural units, by
  /// the soft-cap as the arguments of its tanh, else in base 2, to which those two bring them.
  T phi_factor() const {
    if (logits_ == nullptr && call_.soft_cap > T(0)) return call_.scale / call_.soft_cap;
    return hooks() || call_.soft_cap > T(0) ? call_.scale : call_.scale * kLog2e<T>;
  }
  /// The scale over phi_factor, where both are 0 too.
  T score_unit() const {
    if (logits_ == nullptr && call_.soft_cap > T(0)) return call_.soft_cap;
    return hooks() || call_.soft_cap > T(0) ? T(1) : T(1) / kLog2e<T>;
  }
  /// Whether scores bend, so that their derivatives are not 1.
  bool bends() const { return logits_ != nullptr || call_.soft_cap > T(0); }

  Coverage classify(Index row, Index rows, Index key_begin, Index key_end) const {
    return call_.mask.functions->classify(call_.mask.mask, tile(row, rows, key_begin, key_end));
  }

  /// The keys that some rows cut by the mask's edge see, up to whole vectors. What is found of each
  /// vector is kept for `finish`.
  KeyRange find_visible(Index row, Index rows, const KeyBlock& block) {
    return call_.mask.functions->find_visible(
        call_.mask.mask, tile(row, rows, block.base + block.begin, block.base + block.end),
        block.base, engine_.vector, coverages_.data());
  }

  /// Products into scores, in base 2, of rows that see all keys of the range ...
  void finish_full(T* scores, T* derivatives, Index row, Index rows, Index base,
                   const KeyRange& keys) {
    if (transforms()) transform(scores, derivatives, row, rows, base, keys);
    if (biased()) apply_mask({rows_, scores, stride_, row, rows, base}, keys, Coverage::full);
    hide_beside(scores, rows, keys);
  }
  /// ... or of those that find_visible was asked about last.
  void finish_found(T* scores, T* derivatives, Index row, Index rows, Index base,
                    const KeyRange& keys) {
    if (transforms()) transform(scores, derivatives, row, rows, base, keys);
    const MaskedTile<T> masked{rows_, scores, stride_, row, rows, base};
    for_each_vector(keys, engine_.vector, [&](Index key, Index end) {
      const Coverage coverage = coverages_[static_cast<std::size_t>(key)];
      if (coverage == Coverage::empty) {
        hide(scores, rows, key, end);
      } else if (biased() || coverage == Coverage::mixed) {
        apply_mask(masked, {key, end}, coverage);
      }
    });
    hide_beside(scores, rows, keys);
  }

  /// The same range, up to whole vectors.
  KeyRange whole_vectors(const KeyRange& keys) const {
    return {round_down(keys.first, engine_.vector), round_up(keys.last, engine_.vector)};
  }

 private:
  bool biased() const { return call_.mask.functions->biased; }
  /// Whether `transform` does anything.
  bool transforms() const { return bends() || call_.mask.functions->sloped; }
  /// What hooks take and give is in natural units; everything else is in base 2.
  bool hooks() const { return logits_ != nullptr || biased(); }

  MaskTile tile(Index row, Index rows, Index key_begin, Index key_end) const {
    return {.batch = rows_.sequence().index,
            .head_begin = rows_.first_head(),
            .head_end = rows_.last_head() + 1,
            .query_begin = rows_.query_of(row),
            .query_end = rows_.query_of(row + rows - 1) + 1,
            .key_begin = key_begin,
            .key_end = key_end,
            .query_offset = rows_.query_offset(),
            .key_offset = rows_.key_offset()};
  }
  void apply_mask(const MaskedTile<T>& masked, const KeyRange& keys, Coverage coverage) const {
    call_.mask.functions->apply(call_.mask.mask, masked, keys, coverage);
  }

  [[gnu::noinline]] void hide(T* scores, Index rows, Index first, Index last) const {
    for (Index r = 0; r < rows; ++r) {
      std::fill(scores + r * stride_ + first, scores + r * stride_ + last, kMinusInfinity<T>);
    }
  }
  /// What fills up the vectors of a range.
  void hide_beside(T* scores, Index rows, const KeyRange& keys) const {
    const KeyRange whole = whole_vectors(keys);
    if (whole.first < keys.first) hide(scores, rows, whole.first, keys.first);
    if (keys.last < whole.last) hide(scores, rows, keys.last, whole.last);
  }

  /// The scheme's logits, the soft-cap and the mask's slopes.
  [[gnu::noinline]] void transform(T* tile, T* derivatives, Index row, Index rows, Index base,
                                   const KeyRange& keys) const {
    const T unit = biased() ? T(1) : kLog2e<T>;
    if (logits_ != nullptr) {
      const T factor = call_.soft_cap > T(0) ? T(1) / call_.soft_cap : unit;
      logits_(call_.scheme.scheme, {rows_, tile, derivatives, stride_, row, rows, base, keys},
              factor);
    }
    const auto [from, to] = whole_vectors(keys);
    if (call_.soft_cap > T(0)) {
      engine_.soft_cap(tile + from, stride_, rows, to - from, call_.soft_cap * unit);
      if (derivatives != nullptr) {
        for (Index r = 0; r < rows; ++r) {
          gradients_->derive_soft_cap(tile + r * stride_ + from, derivatives + r * stride_ + from,
                                      to - from, T(1) / (call_.soft_cap * unit),
                                      logits_ == nullptr);
        }
      }
    }
    if (call_.mask.functions->sloped) {
      for (Index r = 0; r < rows; ++r) {
        const Site at = rows_.site(row + r, base + from);
        const double slope = call_.mask.functions->slope(call_.mask.mask, at.head);
        engine_.add_slope(tile + r * stride_ + from, to - from,
                          static_cast<T>(at.query() - at.key()), unit * static_cast<T>(slope));
      }
    }
  }

  const KernelCall<T>& call_;
  const TileEngine<T>& engine_;
  const GradientFunctions<T>* gradients_;
  const ItemRows& rows_;
  Index stride_;
  void (*logits_)(const void*, const LogitTile<T>&, T);
  std::array<Coverage, kTileKeys> coverages_;
};

}  // namespace coca::inline v0::detail
