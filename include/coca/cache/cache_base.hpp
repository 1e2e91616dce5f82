#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "coca/cache/cache_options.hpp"
#include "coca/cache/page_pool.hpp"
#include "coca/cache/sequence_table.hpp"
#include "coca/cache/token_store.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/panels.hpp"

namespace coca::inline v0::detail {

/// What all caches have in common: tokens in and out, by the names of their sequences. `Cache` has
/// add, fork, drop and truncate, and store_tokens, which makes room and writes. `Held` is what it
/// keeps of a sequence.
template <class Cache, class Held>
class CacheBase {
 public:
  CacheBase(const CacheBase&) = delete;
  CacheBase& operator=(const CacheBase&) = delete;

  /// Adds tokens to the end of a sequence: k [tokens, key heads, key_dim] and v [tokens, key heads,
  /// value_dim], of any strides, in float, bfloat16 or half, or in double for a cache of float64.
  template <PackedLike K, PackedLike V>
  void append(SequenceId sequence, const K& k, const V& v) {
    append_tokens({&sequence, 1}, packed_view(k), packed_view(v), true);
  }

  /// Adds as many tokens to each of several sequences: k [sequences, tokens, key heads, key_dim] and
  /// v likewise.
  template <TensorLike K, TensorLike V>
  void append(std::span<const SequenceId> sequences, const K& k, const V& v) {
    append_tokens(sequences, tensor_view(k), tensor_view(v), false);
  }

  /// The tokens of a sequence that are held, as plain tensors [tokens, key heads, width]; append takes
  /// them back.
  template <PackedLike K, PackedLike V>
  void read(SequenceId sequence, K&& k, V&& v) const {
    table_.check(sequence);
    read_tokens(layout_, table_.view(sequence), packed_view(k), packed_view(v));
  }

  /// Tokens of a sequence that are held.
  Index length(SequenceId sequence) const {
    table_.check(sequence);
    return table_.view(sequence).tokens();
  }
  /// Bytes of all pages, those kept for later included.
  std::size_t bytes() const { return pool_.bytes(); }
  /// What a token takes, of all heads.
  Index token_bytes() const { return layout_.heads * layout_.token_bytes(); }

  /// For the kernels: how pages are laid out.
  const PanelLayout& layout() const { return layout_; }
  /// For the kernels: what is in them.
  const PanelSequence* sequences() const { return table_.views(); }
  /// Throws std::invalid_argument for a sequence that is not there.
  void check_sequences(std::span<const SequenceId> ids) const { check_ids(table_, ids, false); }

 protected:
  /// At most so many pages, or 0: as many as there is memory for.
  CacheBase(const CacheOptions& options, Index page_tokens, Index pages)
      : layout_{options.key_heads, options.key_dim, options.value_dim, page_tokens / kPanelTokens,
                options.type},
        pool_((check_cache(options, page_tokens), layout_.page_bytes()), pages),
        store_(layout_) {}
  ~CacheBase() = default;

  /// Rejects a length to truncate to that is more than there is.
  void check_length(SequenceId sequence, Index length) const {
    const Index held = this->length(sequence);
    if (length >= 0 && length <= held) return;
    reject("length", std::to_string(length),
           "from 0 to the " + std::to_string(held) + " tokens of the sequence");
  }

  /// Writes token `token` of entry `entry` of the tensors to its place in a sequence.
  void write(SequenceId sequence, const AnyInput& k, const AnyInput& v, std::size_t entry,
             Index token, const PanelPlace& to) {
    const bool finite = store_.write(k, v, static_cast<Index>(entry), token, to);
    PanelSequence& view = table_.view(sequence);
    view.finite = view.finite && finite;
  }

  PanelLayout layout_;
  PagePool pool_;
  TokenStore store_;
  SequenceTable<Held> table_;

 private:
  void append_tokens(std::span<const SequenceId> sequences, const AnyInput& k, const AnyInput& v,
                     bool packed) {
    check_ids(table_, sequences, true);
    check_tokens(layout_, k, v, static_cast<Index>(sequences.size()), packed);
    if (k.shape[1] > 0) static_cast<Cache*>(this)->store_tokens(sequences, k, v);
  }
};

}  // namespace coca::inline v0::detail
