#pragma once

#include <cmath>
#include <concepts>
#include <type_traits>
#include <utility>

#include "coca/core/scalar.hpp"
#include "coca/scheme/scheme.hpp"

/// What a mask is: which keys a query may see, and what is added to the scores of those it sees.
namespace coca::inline v0 {

/// What a mask leaves of a tile.
enum class Coverage {
  empty,  ///< no query sees a key: the tile is skipped
  full,   ///< every query sees every key: visible is not asked
  mixed,  ///< visible is asked for each pair
};

/// A rectangle of queries and keys. The index ranges are not empty.
struct MaskTile {
  Index batch = 0;         ///< batch entry; of packed sequences, the number of theirs
  Index head_begin = 0;    ///< the first query head
  Index head_end = 0;      ///< behind the last
  Index query_begin = 0;   ///< the first, by its place among the queries of the sequence
  Index query_end = 0;     ///< behind the last
  Index key_begin = 0;     ///< the first, by its place among the keys
  Index key_end = 0;       ///< behind the last
  Index query_offset = 0;  ///< position of the first of the queries
  Index key_offset = 0;    ///< position of the first of the keys

  /// The position of its first query in the whole sequence, in tokens.
  Position first_query() const { return query_begin + query_offset; }
  /// That of its last query.
  Position last_query() const { return query_end - 1 + query_offset; }
  /// That of its first key.
  Position first_key() const { return key_begin + key_offset; }
  /// That of its last key.
  Position last_key() const { return key_end - 1 + key_offset; }
};

/// The hooks of a mask that hides nothing but leaves it to `visible` to say so. Derive from it and
/// hide what differs; nothing is virtual.
struct MaskDefaults {
  /// Throws std::invalid_argument if the mask does not fit the call.
  void check(const AttentionShape&) const {}
  /// Must never claim empty or full where it is not so; mixed is always right.
  Coverage classify(const MaskTile&) const { return Coverage::mixed; }
  /// Whether this query sees this key.
  bool visible(const Site&) const { return true; }
};

/// A struct with the members of MaskDefaults. Optional members, of what is added to the scaled (and
/// capped) score of a visible pair:
///   `bias(const Site&) const`: any number, asked for pair by pair;
///   `slope(Index head) const`: -slope * |query - key|, which costs next to nothing.
template <class M>
concept Mask = requires(const M& mask, const MaskTile& tile, const Site& site,
                        const AttentionShape& shape) {
  mask.check(shape);
  { mask.classify(tile) } -> std::same_as<Coverage>;
  { mask.visible(site) } -> std::same_as<bool>;
};

/// A mask that adds to scores.
template <class M>
concept Biased = requires(const M& mask, const Site& site) {
  { mask.bias(site) } -> std::convertible_to<double>;
};

/// A mask that adds -slope * |query - key|.
template <class M>
concept Sloped = requires(const M& mask, Index head) {
  { mask.slope(head) } -> std::convertible_to<double>;
};

/// What a mask adds to the score of a pair, all in all.
template <Mask M>
double added_to_score(const M& mask, const Site& site) {
  double sum = 0.0;
  if constexpr (Biased<M>) sum += static_cast<double>(mask.bias(site));
  if constexpr (Sloped<M>) {
    sum -= static_cast<double>(mask.slope(site.head)) *
           std::fabs(static_cast<double>(site.query() - site.key()));
  }
  return sum;
}

/// A query sees what both masks show it; what they add to scores adds up.
template <Mask A, Mask B>
class Both {
 public:
  /// What `a & b` makes.
  Both(A a, B b) : a_(std::move(a)), b_(std::move(b)) {}

  void check(const AttentionShape& shape) const {
    a_.check(shape);
    b_.check(shape);
  }
  Coverage classify(const MaskTile& tile) const {
    const Coverage a = a_.classify(tile);
    if (a == Coverage::empty) return a;
    const Coverage b = b_.classify(tile);
    if (b == Coverage::empty) return b;
    return a == Coverage::full && b == Coverage::full ? Coverage::full : Coverage::mixed;
  }
  bool visible(const Site& site) const { return a_.visible(site) && b_.visible(site); }

  auto bias(const Site& site) const requires Biased<A> || Biased<B> {
    if constexpr (!Biased<B>) {
      return a_.bias(site);
    } else if constexpr (!Biased<A>) {
      return b_.bias(site);
    } else {
      return a_.bias(site) + b_.bias(site);
    }
  }
  double slope(Index head) const requires Sloped<A> || Sloped<B> {
    double sum = 0.0;
    if constexpr (Sloped<A>) sum += a_.slope(head);
    if constexpr (Sloped<B>) sum += b_.slope(head);
    return sum;
  }

 private:
  A a_;
  B b_;
};

/// A query sees what either mask shows it. For masks that add nothing to scores.
template <Mask A, Mask B>
  requires(!Biased<A> && !Biased<B> && !Sloped<A> && !Sloped<B>)
class Either {
 public:
  /// What `a | b` makes.
  Either(A a, B b) : a_(std::move(a)), b_(std::move(b)) {}

  void check(const AttentionShape& shape) const {
    a_.check(shape);
    b_.check(shape);
  }
  Coverage classify(const MaskTile& tile) const {
    const Coverage a = a_.classify(tile);
    if (a == Coverage::full) return a;
    const Coverage b = b_.classify(tile);
    if (b == Coverage::full) return b;
    return a == Coverage::empty && b == Coverage::empty ? Coverage::empty : Coverage::mixed;
  }
  bool visible(const Site& site) const { return a_.visible(site) || b_.visible(site); }

 private:
  A a_;
  B b_;
};

/// Both masks at once: `Causal{} & SlidingWindow{256, 0}`.
template <Mask A, Mask B>
  requires(std::is_class_v<A>&& std::is_class_v<B>)
Both<A, B>
operator&(A a, B b) { return Both<A, B>(std::move(a), std::move(b)); }

/// What either mask shows: `SinkTokens{4} | SlidingWindow{1020, 0}`.
template <Mask A, Mask B>
  requires(std::is_class_v<A>&& std::is_class_v<B>)
Either<A, B>
operator|(A a, B b) { return Either<A, B>(std::move(a), std::move(b)); }

}  // namespace coca::inline v0
