#pragma once

#include <algorithm>
#include <concepts>
#include <span>

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
  Index batch = 0;        ///< its batch entry
  Index index = 0;        ///< its place in its tensor
  Index head = 0;         ///< query head for map_query, key/value head for map_key
};

/// One query meeting one key, as a logit transform or a mask sees them.
struct Site {
  Index batch = 0;
  Index head = 0;          ///< query head
  Index query_index = 0;   ///< place in the query tensor
  Index key_index = 0;     ///< place in the key tensor
  Index query_offset = 0;  ///< first_query of the call
  Index key_offset = 0;    ///< first_key of the call

  /// Places in the whole sequence, of which the tensors may hold a chunk, in tokens.
  Position query() const { return query_index + query_offset; }
  Position key() const { return key_index + key_offset; }
};

/// The maps of a scheme that changes nothing. Derive from it and hide what differs; nothing is
/// virtual.
struct SchemeDefaults {
  /// Width of the key operand, given that of the queries.
  Index key_dim(Index query_dim) const { return query_dim; }
  /// Width of phi and psi.
  Index score_dim(Index query_dim) const { return query_dim; }
  /// Throws std::invalid_argument if the scheme cannot take queries this wide.
  void check(Index /*query_dim*/) const {}

  /// phi: q has query_dim elements, phi has score_dim. They do not overlap.
  template <Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    std::copy(q.begin(), q.end(), phi.begin());
  }
  /// psi: k has key_dim elements, psi has score_dim. They do not overlap.
  template <Real T>
  void map_key(std::span<const T> k, const Token&, std::span<T> psi) const {
    std::copy(k.begin(), k.end(), psi.begin());
  }
};

/// A struct with the members of SchemeDefaults, for computations in T. Optional members:
///   `T logit(T score, const Site&) const` changes the scaled score before the mask sees it;
///   `const char* key_defect(std::span<const T> k) const` says what is wrong with a key operand, or
///   nullptr; it is asked in checked mode only.
template <class S, class T = float>
concept Scheme = requires(const S& scheme, Index dim, std::span<const T> in, std::span<T> out,
                          const Token& token) {
  { scheme.key_dim(dim) } -> std::convertible_to<Index>;
  { scheme.score_dim(dim) } -> std::convertible_to<Index>;
  scheme.check(dim);
  scheme.map_query(in, token, out);
  scheme.map_key(in, token, out);
};

/// A scheme whose phi, or psi, is the identity it has from SchemeDefaults: rows need no copy.
template <class S, class T>
concept KeepsQueries =
    std::same_as<decltype(&S::template map_query<T>), decltype(&SchemeDefaults::map_query<T>)>;
template <class S, class T>
concept KeepsKeys =
    std::same_as<decltype(&S::template map_key<T>), decltype(&SchemeDefaults::map_key<T>)>;

/// A scheme that changes scores one by one.
template <class S, class T>
concept TransformsLogits = requires(const S& scheme, T score, const Site& site) {
  { scheme.logit(score, site) } -> std::convertible_to<T>;
};

/// A scheme that can tell a wrong key operand from a right one.
template <class S, class T>
concept ChecksKeys = requires(const S& scheme, std::span<const T> key) {
  { scheme.key_defect(key) } -> std::convertible_to<const char*>;
};

}  // namespace coca::inline v0
