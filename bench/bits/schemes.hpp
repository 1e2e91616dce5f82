#pragma once

#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "coca/coca.hpp"
#include "random.hpp"

/// Schemes with random parameters.
namespace bits {

/// A scheme of somebody's own with the two maps and nothing else.
struct Own : coca::SchemeDefaults {
  template <class T>
  void map_query(std::span<const T> q, const coca::Token& at, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = q[i] * factor<T>(at.position, i);
  }
  template <class T>
  void map_key(std::span<const T> k, const coca::Token& at, std::span<T> psi) const {
    for (std::size_t i = 0; i < k.size(); ++i) psi[i] = k[i] * factor<T>(-at.position, i);
  }

 private:
  template <class T>
  static T factor(coca::Position position, std::size_t i) {
    return T(1) + static_cast<T>((position % 7 + static_cast<coca::Position>(i)) % 5) / T(8);
  }
};

/// ... and with their adjoints.
struct OwnWithAdjoints : Own {
  template <class T>
  void map_query(std::span<const T> q, const coca::Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = q[i] * q[i];
  }
  template <class T>
  void map_query_adjoint(std::span<const T> q, const coca::Token&, std::span<T> dphi,
                         std::span<T> dq) const {
    for (std::size_t i = 0; i < q.size(); ++i) dq[i] = T(2) * q[i] * dphi[i];
  }
  template <class T>
  void map_key(std::span<const T> k, const coca::Token&, std::span<T> psi) const {
    for (std::size_t i = 0; i < k.size(); ++i) psi[i] = k[i] / T(2);
  }
  template <class T>
  void map_key_adjoint(std::span<const T>, const coca::Token&, std::span<T> dpsi,
                       std::span<T> dk) const {
    for (std::size_t i = 0; i < dk.size(); ++i) dk[i] = dpsi[i] / T(2);
  }
};

/// A logit transform that depends on head and distance.
struct Bend {
  template <class T>
  T operator()(T score, const auto& pair) const {
    const T far = static_cast<T>((pair.query() - pair.key()) % 16) / T(32);
    return score * (T(1) + far) + static_cast<T>(pair.head) / T(4);
  }
  template <class T>
  T derivative(T, const auto& pair) const {
    return T(1) + static_cast<T>((pair.query() - pair.key()) % 16) / T(32);
  }
};

using Rotary = coca::Rotary<>;
using Strict = coca::CocaStrict<>;
using Slack = coca::CocaSlack<>;
using StrictX = coca::CocaStrict<coca::RawProjection>;
using SlackX = coca::CocaSlack<coca::RawProjection>;
using Constrained = coca::CocaConstrained<>;
using ConstrainedX = coca::CocaConstrained<coca::RawProjection>;
using AnyScheme = coca::OneOf<coca::Dot, Rotary, Strict, StrictX, Slack, SlackX, Constrained,
                              ConstrainedX, coca::XPos<Rotary>>;
using MultiRotary = coca::Rotary<coca::MultiRope>;
using DotBent = coca::WithLogits<coca::Dot, Bend>;
using RotaryBent = coca::WithLogits<Rotary, Bend>;

/// Stands for a scheme with a DistanceCeiling, whose own type is not written here.
template <class Base>
struct Ceiling {};
template <class S>
inline constexpr bool kHasCeiling = false;
template <class Base>
inline constexpr bool kHasCeiling<Ceiling<Base>> = true;

/// A scheme, and the width of its key operand.
template <class S>
struct Made {
  S scheme;
  Index key_dim;
};

[[gnu::noinline]] inline coca::Rope make_rope(Random& choose, Index dim) {
  coca::RopeOptions options{.dim = dim};
  if (choose.one_in(3)) options.layout = coca::RopeLayout::interleaved;
  if (choose.one_in(4)) options.rotary_dim = 2 * choose.integer(1, dim / 2);
  const Index rotary_dim = options.rotary_dim != 0 ? options.rotary_dim : dim;
  options.base = choose.pick({10000.0, 500000.0, 100.0});
  switch (choose.integer(0, 9)) {
    case 0:
      options.scaling = coca::Yarn{.factor = 4.0, .trained_length = 256};
      break;
    case 1:
      options.scaling = coca::Llama3{.factor = 8.0, .trained_length = 512};
      break;
    case 2:
      options.scaling = coca::NtkAware{.factor = 2.0};
      // A base cannot be stretched over one pair.
      if (rotary_dim < 4) options.scaling = {};
      break;
    case 3:
      options.scaling = coca::DynamicNtk{.factor = 2.0, .trained_length = 100};
      if (rotary_dim < 4) options.scaling = {};
      options.length = choose.integer(0, 500);
      break;
    case 4:
      options.inv_freq.resize(static_cast<std::size_t>(rotary_dim / 2));
      for (double& frequency : options.inv_freq) frequency = static_cast<double>(choose.unit());
      break;
    default:
      break;
  }
  return coca::Rope(std::move(options));
}

/// Of positions with three axes, which go up as those of images do.
inline coca::MultiRope make_multi_rope(Random& choose, Index dim, Index batch) {
  coca::Rope rope = make_rope(choose, dim);
  const Index tokens = choose.integer(0, 300);
  std::vector<coca::Position> ids(static_cast<std::size_t>(3 * batch * tokens));
  for (coca::Position& id : ids) id = choose.integer(0, 400);
  std::vector<Index> axes(static_cast<std::size_t>(rope.rotary_dim() / 2));
  for (Index& axis : axes) axis = choose.integer(0, 2);
  const coca::View<const coca::Position, 3> view(ids.data(), {3, batch, tokens});
  return {std::move(rope), std::move(axes), view};
}

/// For queries `dim` wide.
template <class S>
struct Maker {
  static Made<S> make(Random& choose, Index dim, Index /*batch*/) {
    if constexpr (std::is_constructible_v<S, coca::Rope>) {
      S scheme{make_rope(choose, dim)};
      const Index key_dim = scheme.key_dim(dim);
      return {std::move(scheme), key_dim};
    } else {
      return {S{}, dim};
    }
  }
};
template <>
struct Maker<MultiRotary> {
  static Made<MultiRotary> make(Random& choose, Index dim, Index batch) {
    return {MultiRotary{make_multi_rope(choose, dim, batch)}, dim};
  }
};
template <class Base>
struct Maker<coca::WithLogits<Base, Bend>> {
  static Made<coca::WithLogits<Base, Bend>> make(Random& choose, Index dim, Index batch) {
    auto base = Maker<Base>::make(choose, dim, batch);
    return {{std::move(base.scheme), Bend{}}, base.key_dim};
  }
};
template <class Base>
struct Maker<coca::XPos<Base>> {
  static Made<coca::XPos<Base>> make(Random& choose, Index dim, Index batch) {
    auto base = Maker<Base>::make(choose, dim, batch);
    coca::XPosOptions options;
    options.centre = choose.integer(0, 400);
    return {coca::XPos<Base>{std::move(base.scheme), options}, base.key_dim};
  }
};
template <class Base>
struct Maker<Ceiling<Base>> {
  static auto make(Random& choose, Index dim, Index batch) {
    auto base = Maker<Base>::make(choose, dim, batch);
    const Index ceiling = choose.pick<Index>({0, 20, 100, 5000});
    auto scheme = coca::DistanceCeiling(std::move(base.scheme), ceiling);
    return Made<decltype(scheme)>{std::move(scheme), base.key_dim};
  }
};
template <>
struct Maker<AnyScheme> {
  template <class S>
  static Made<AnyScheme> of(Random& choose, Index dim) {
    auto made = Maker<S>::make(choose, dim, 1);
    return {AnyScheme(std::move(made.scheme)), made.key_dim};
  }
  static Made<AnyScheme> make(Random& choose, Index dim, Index /*batch*/) {
    switch (choose.integer(0, 8)) {
      case 0:
        return of<coca::Dot>(choose, dim);
      case 1:
        return of<Strict>(choose, dim);
      case 2:
        return of<StrictX>(choose, dim);
      case 3:
        return of<Slack>(choose, dim);
      case 4:
        return of<SlackX>(choose, dim);
      case 5:
        return of<Constrained>(choose, dim);
      case 6:
        return of<ConstrainedX>(choose, dim);
      case 7:
        return of<coca::XPos<Rotary>>(choose, dim);
      default:
        return of<Rotary>(choose, dim);
    }
  }
};

}  // namespace bits
