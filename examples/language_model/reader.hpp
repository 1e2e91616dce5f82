#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "language_model/model.hpp"

namespace language_model {

/// How a model reads beyond the length it was trained for.
struct Reading {
  std::string scaling =
      "none";           ///< of the rope: or linear, by what the length is beyond; ntk, dynamic-ntk
  double factor = 4.0;  ///< of ntk and dynamic-ntk
  std::string mask = "causal";  ///< or streaming (StreamingLLM), lambda (LM-Infinite)
  Index length = 0;             ///< of the whole text, where it is known: scalings are for it
  Index sinks = 4;              ///< first tokens that streaming and lambda keep
};

/// A model on its way through a text, keys and values of what it has read in caches, one a layer, CoCA's
/// t at half width.
class Reader {
 public:
  /// Throws std::invalid_argument for names that are none, and for lambda with a scheme whose score is
  /// no function of the distance.
  Reader(const Model& model, const Reading& reading);

  /// Reads on. Returns the logits of what follows each of the last `wanted` bytes, a row each.
  Matrix read(std::span<const Byte> text, Index wanted = 1);

  /// Bytes of the caches.
  std::size_t cache_bytes() const;

 private:
  using Cache =
      std::variant<std::unique_ptr<coca::GrowingCache>, std::unique_ptr<coca::RollingCache>>;

  Index next_chunk(Index left) const;
  Matrix read_chunk(std::span<const Byte> text);
  Matrix attend(Cache& cache, const Scheme& scheme,
                const layers::AttentionOperands& operands) const;

  const Model& model_;
  Reading reading_;
  layers::AttentionConfig attention_;
  coca::Rope rope_;  ///< scaled
  std::vector<Cache> caches_;
  Index read_ = 0;
  Byte last_ = kBeforeText;  ///< of what was read
};

}  // namespace language_model
