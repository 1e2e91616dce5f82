#pragma once

#include <algorithm>
#include <concepts>
#include <span>
#include <type_traits>
#include <utility>

#include "coca/core/scalar.hpp"

/// What a scheme is: how a query and a key become a score.
///
/// Every scheme is bilinear after a map of each token alone,
///     score(m, n) = phi(q_m, m) . psi(k_n, n),
/// so one kernel serves all of them. phi is applied when queries are loaded, psi when keys are.
namespace coca::inline v0 {

/// The token a map is asked about.
struct Token {
  Position position = 0;  ///< where it stands, in tokens
  Index batch = 0;        ///< its batch entry; of packed sequences, the number of its own
  Index index = 0;        ///< its place in its sequence
  Index head = 0;         ///< query head for map_query, key/value head for map_key
};

/// One query meeting one key, as a logit transform or a mask sees them.
struct Site {
  Index batch = 0;         ///< batch entry; of packed sequences, the number of theirs
  Index head = 0;          ///< query head
  Index query_index = 0;   ///< place among the queries of the sequence
  Index key_index = 0;     ///< place among its keys
  Index query_offset = 0;  ///< position of the first of the queries
  Index key_offset = 0;    ///< position of the first of the keys

  /// The query's place in the whole sequence, of which the tensors may hold a chunk, in tokens.
  Position query() const { return query_index + query_offset; }
  /// The key's.
  Position key() const { return key_index + key_offset; }
};

/// The sizes of a call, against which a scheme or a mask checks its own.
struct AttentionShape {
  Index batch = 0;  ///< batch entries; of packed sequences, or those of a cache, how many they are
  Index queries = 0;      ///< of the longest sequence
  Index keys = 0;         ///< of the longest sequence
  Index query_heads = 0;  ///< a multiple of key_heads
  Index key_heads = 0;    ///< heads of keys and values
  Index query_dim = 0;    ///< head_dim of the queries
  Index value_dim = 0;    ///< width of a value, and of the output
};

/// What a map returns to say that it copied its input as it is, and need not have been called.
struct Unchanged {};

/// The maps of a scheme that changes nothing. Derive from it and hide what differs; nothing is
/// virtual.
struct SchemeDefaults {
  /// Width of the key operand, given that of the queries.
  Index key_dim(Index query_dim) const { return query_dim; }
  /// Width of phi and psi.
  Index score_dim(Index query_dim) const { return query_dim; }
  /// Throws std::invalid_argument if the scheme does not fit the call.
  void check(const AttentionShape&) const {}
  /// Whether positions enter by their difference alone: score(m + c, n + c) = score(m, n) for every c.
  /// Where nobody says so, it is not relied upon.
  bool shift_invariant() const { return false; }

  /// phi: q has query_dim elements, phi has score_dim. They do not overlap.
  template <Real T>
  Unchanged map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    std::copy(q.begin(), q.end(), phi.begin());
    return {};
  }
  /// psi: k has key_dim elements, psi has score_dim. They do not overlap.
  template <Real T>
  Unchanged map_key(std::span<const T> k, const Token&, std::span<T> psi) const {
    std::copy(k.begin(), k.end(), psi.begin());
    return {};
  }
};

/// A struct with the members of SchemeDefaults, for computations in T, of which `shift_invariant` is
/// optional. Further ones that are:
///   `T logit(T score, const Site&) const` changes the scaled score before the mask sees it;
///   `const char* key_defect(std::span<const T> k) const` says what is wrong with a key operand, or
///   nullptr; it is asked in checked mode only;
///   the adjoints of scheme/adjoint.hpp, for the backward pass.
template <class S, class T = float>
concept Scheme = requires(const S& scheme, Index dim, const AttentionShape& shape,
                          std::span<const T> in, std::span<T> out, const Token& token) {
  { scheme.key_dim(dim) } -> std::convertible_to<Index>;
  { scheme.score_dim(dim) } -> std::convertible_to<Index>;
  scheme.check(shape);
  scheme.map_query(in, token, out);
  scheme.map_key(in, token, out);
};

/// A scheme whose phi is the identity: rows need no copy.
template <class S, class T>
concept KeepsQueries = requires(const S& scheme, std::span<const T> q, const Token& token,
                                std::span<T> phi) {
  { scheme.map_query(q, token, phi) } -> std::same_as<Unchanged>;
};
/// A scheme whose psi is the identity.
template <class S, class T>
concept KeepsKeys = requires(const S& scheme, std::span<const T> k, const Token& token,
                             std::span<T> psi) {
  { scheme.map_key(k, token, psi) } -> std::same_as<Unchanged>;
};

/// How the keys of a scheme turn with their position, psi(k, n) = R_n psi(k, 0), R that of its `rope()`:
/// what the members of a pair of psi(k, 0) are.
enum class TurnedKey {
  no,     ///< they do not, or psi(k, 0) is something else
  whole,  ///< those of k itself
  twice,  ///< t and t, of a key operand with one number t a pair
  once,   ///< t and 0
};

/// What a scheme's `turned_key() const` returns.
template <TurnedKey How>
using Turned = std::integral_constant<TurnedKey, How>;

/// How a scheme's keys turn: `no` where it does not say.
template <class S>
inline constexpr TurnedKey kTurnedKey = TurnedKey::no;
/// What it says.
template <class S>
  requires requires(const S& scheme) {
    { scheme.turned_key().value } -> std::convertible_to<TurnedKey>;
  }
inline constexpr TurnedKey kTurnedKey<S> = decltype(std::declval<const S&>().turned_key())::value;

namespace detail {

/// The class that declares a member, which may be a base of the one it is asked of.
template <class Member>
struct ClassOf {
  using type = void;
};
template <class R, class C, class... A>
struct ClassOf<R (C::*)(A...) const> {
  using type = C;
};

/// False where both are members that can be named, and of different classes: then a derived scheme has
/// a map of its own beside what its base says of another one.
template <class Map, class Other>
inline constexpr bool kOfOneClass =
    std::is_same_v<typename ClassOf<Map>::type, typename ClassOf<Other>::type>;

}  // namespace detail

/// A scheme that says so, beside its `map_key`: of a derived one that hides that, nothing is known. As
///     psi(k, b + i) = R_b psi(k, i),  phi(q, m) . psi(k, b + i) = (R_-b phi(q, m)) . psi(k, i),
/// the kernel may turn keys side by side, by small angles and one more that they share, and decoding turn
/// the query back by that one. Without it, psi is taken of each key.
template <class S>
concept TurnsKeys = requires(const S& scheme) {
  requires(kTurnedKey<S> != TurnedKey::no);
  requires detail::kOfOneClass<decltype(&S::template map_key<float>), decltype(&S::turned_key)>;
  scheme.rope().template panel_turns<float>();
};

/// A scheme that changes scores one by one.
template <class S, class T>
concept TransformsLogits = requires(const S& scheme, T score, const Site& site) {
  { scheme.logit(score, site) } -> std::convertible_to<T>;
};

/// Whether a scheme is shift-invariant, and says so.
template <class S>
bool is_shift_invariant(const S& scheme) {
  if constexpr (requires { scheme.shift_invariant(); }) return scheme.shift_invariant();
  return false;
}

/// A scheme that can tell a wrong key operand from a right one.
template <class S, class T>
concept ChecksKeys = requires(const S& scheme, std::span<const T> key) {
  { scheme.key_defect(key) } -> std::convertible_to<const char*>;
};

}  // namespace coca::inline v0
