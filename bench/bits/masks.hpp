#pragma once

#include <deque>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "coca/coca.hpp"
#include "random.hpp"

/// Masks chosen at run time, so that the program compiles few kernels.
namespace bits {

using coca::Position;
using coca::operator&;
using coca::operator|;

/// The type of the argument of a const member function.
template <class R, class C, class A>
std::remove_cvref_t<A> argument_of(R (C::*)(A) const);
/// What a mask is called with, whatever the library calls it.
using Pair = decltype(argument_of(&coca::Causal::visible));
using Tile = decltype(argument_of(&coca::Causal::classify));
using CallShape = decltype(argument_of(&coca::Alibi::check));
using Covered = decltype(std::declval<coca::Causal>().classify(std::declval<Tile>()));

/// Any mask, of which the kernels see that it hides keys.
class Hides {
 public:
  template <class M>
    requires(!std::is_base_of_v<Hides, M>)
  Hides(M mask) : mask_(std::make_shared<Holder<M>>(std::move(mask))) {}

  void check(const CallShape& shape) const { mask_->check(shape); }
  Covered classify(const Tile& tile) const { return mask_->classify(tile); }
  bool visible(const Pair& pair) const { return mask_->visible(pair); }

 protected:
  struct Base {
    virtual ~Base() = default;
    virtual void check(const CallShape& shape) const = 0;
    virtual Covered classify(const Tile& tile) const = 0;
    virtual bool visible(const Pair& pair) const = 0;
    virtual double bias(const Pair& pair) const = 0;
    virtual double slope(Index head) const = 0;
  };
  template <class M>
  struct Holder : Base {
    explicit Holder(M m) : mask(std::move(m)) {}
    void check(const CallShape& shape) const override { mask.check(shape); }
    Covered classify(const Tile& tile) const override { return mask.classify(tile); }
    bool visible(const Pair& pair) const override { return mask.visible(pair); }
    double bias(const Pair& pair) const override {
      if constexpr (requires { mask.bias(pair); }) return static_cast<double>(mask.bias(pair));
      return 0.0;
    }
    double slope(Index head) const override {
      if constexpr (requires { mask.slope(head); }) return mask.slope(head);
      return 0.0;
    }
    M mask;
  };

  std::shared_ptr<const Base> mask_;
};

/// ... and that it has slopes.
class Slopes : public Hides {
 public:
  using Hides::Hides;
  explicit Slopes(Hides mask) : Hides(std::move(mask)) {}
  double slope(Index head) const { return mask_->slope(head); }
};

/// ... and that it has biases too.
class Adds : public Slopes {
 public:
  using Slopes::Slopes;
  explicit Adds(Hides mask) : Slopes(std::move(mask)) {}
  double bias(const Pair& pair) const { return mask_->bias(pair); }
};

/// Masks with types of their own.
using Window = coca::SlidingWindow;
using SinksAndWindow = decltype(coca::Causal{} & (coca::SinkTokens{4} | Window{9, 0}));

/// The tokens that a mask is about.
struct MaskedTokens {
  Index batch, heads, queries, keys;
};

/// Makes masks, and keeps the tensors that they view.
class MaskMaker {
 public:
  MaskMaker(Random& choose, const MaskedTokens& tokens) : choose_(choose), tokens_(tokens) {}

  template <class M>
  M make() {
    if constexpr (std::is_same_v<M, Hides>) {
      return hiding();
    } else if constexpr (std::is_same_v<M, Slopes>) {
      const Hides hidden = hiding();
      return Slopes(hidden & alibi());
    } else if constexpr (std::is_same_v<M, Adds>) {
      return adding();
    } else if constexpr (std::is_same_v<M, coca::Causal>) {
      return coca::Causal(choose_.one_in(4) ? choose_.integer(-3, 40) : 0);
    } else if constexpr (std::is_same_v<M, Window>) {
      return window();
    } else if constexpr (std::is_same_v<M, SinksAndWindow>) {
      return sinks_and_window();
    } else if constexpr (std::is_same_v<M, coca::BooleanMask>) {
      return boolean();
    } else {
      return M{};
    }
  }

 private:
  Window window() {
    const Index right = choose_.one_in(2) ? 0 : choose_.integer(0, 40);
    return {choose_.integer(0, 200), right};
  }
  SinksAndWindow sinks_and_window() {
    const coca::SinkTokens sinks{choose_.integer(0, 20)};
    return coca::Causal{} & (sinks | Window{choose_.integer(0, 150), 0});
  }
  coca::Alibi alibi() {
    if (choose_.one_in(2)) return coca::Alibi(tokens_.heads);
    std::vector<double> slopes(static_cast<std::size_t>(tokens_.heads));
    for (double& slope : slopes) slope = static_cast<double>(choose_.unit());
    return coca::Alibi(std::move(slopes));
  }
  [[gnu::noinline]] Hides hiding() {
    if (!choose_.one_in(5)) return one();
    // In statements of their own: the order in which operands are evaluated is the compiler's choice.
    const Hides a = one();
    const Hides b = one();
    if (choose_.one_in(2)) return a & b;
    return a | b;
  }
  [[gnu::noinline]] Hides one() {
    switch (choose_.integer(0, 10)) {
      case 0:
        return coca::Full{};
      case 1:
      case 2:
        return make<coca::Causal>();
      case 3:
        return window();
      case 4:
        return sinks_and_window();
      case 5:
        return coca::PrefixLm{choose_.integer(0, 200)};
      case 6: {
        const Index left = choose_.integer(0, 60), right = choose_.integer(0, 20);
        return coca::DilatedWindow{left, right, choose_.integer(1, 5)};
      }
      case 7: {
        std::vector<Position> tokens(static_cast<std::size_t>(choose_.integer(0, 5)));
        for (Position& token : tokens) token = place();
        return coca::GlobalTokens(std::move(tokens)) | window();
      }
      case 8: {
        const Index size = choose_.pick<Index>({7, 32, 64, 128});
        std::vector<coca::BlockSparse::Block> blocks(
            static_cast<std::size_t>(choose_.integer(1, 20)));
        for (auto& [query, key] : blocks) {
          query = place() / size;
          key = place() / size;
        }
        return coca::BlockSparse{size, std::move(blocks)};
      }
      case 9:
        return documents();
      default:
        return boolean();
    }
  }
  [[gnu::noinline]] Adds adding() {
    const Hides hidden = hiding();
    const coca::Alibi sloped = alibi();
    switch (choose_.integer(0, 4)) {
      case 0:
        return Adds(hidden & sloped);
      case 1:
        return Adds(hidden & coca::AdditiveBias(numbers<float>()));
      case 2:
        return Adds(coca::AdditiveBias(numbers<double>()));
      case 3:
        return Adds(coca::AdditiveBias(numbers<Eigen::bfloat16>()) & sloped);
      default:
        return Adds(coca::AdditiveBias(numbers<Eigen::half>()) & hidden & sloped);
    }
  }

  /// The position of a token of the call, if it begins at 0.
  Position place() { return choose_.integer(0, std::max<Index>(tokens_.keys - 1, 0)); }
  /// [batch, heads, queries, keys], with 1 for some of the first three.
  std::array<Index, 4> extents() {
    const Index batch = choose_.one_in(2) ? 1 : tokens_.batch;
    const Index heads = choose_.one_in(2) ? 1 : tokens_.heads;
    const Index queries = choose_.one_in(3) ? 1 : tokens_.queries;
    return {batch, heads, queries, tokens_.keys};
  }
  coca::BooleanMask boolean() {
    const auto shape = extents();
    const Index size = shape[0] * shape[1] * shape[2] * shape[3];
    // Runs, so that there are tiles that hide all or nothing.
    const Index run = choose_.pick<Index>({1, 3, 200});
    bool* allowed = allowed_.emplace_back(new bool[static_cast<std::size_t>(size)]).get();
    bool now = true;
    for (Index i = 0; i < size; ++i) {
      if (choose_.one_in(run)) now = !choose_.one_in(3);
      allowed[i] = now;
    }
    return coca::BooleanMask(coca::View<const bool, 4>(allowed, shape));
  }
  coca::Documents documents() {
    const Index batch = choose_.one_in(2) ? 1 : tokens_.batch;
    const Index count = tokens_.keys;
    auto& ids = documents_.emplace_back(static_cast<std::size_t>(batch * count));
    Position document = 0;
    for (Position& id : ids) {
      if (choose_.one_in(50)) document = choose_.integer(0, 5);
      id = document;
    }
    return coca::Documents(coca::View<const Position, 2>(ids.data(), {batch, count}));
  }
  template <class T>
  coca::View<const T, 4> numbers() {
    const auto shape = extents();
    const auto size = static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
    auto held = std::make_shared<std::vector<T>>(size);
    const float magnitude = choose_.pick({1.0F, 8.0F});
    const Index hidden = choose_.pick<Index>({3, 50});
    for (T& x : *held) {
      const float number = magnitude * choose_.unit();
      x = T(choose_.one_in(hidden) ? -std::numeric_limits<float>::infinity() : number);
    }
    biases_.push_back(held);
    return {held->data(), shape};
  }

  Random& choose_;
  MaskedTokens tokens_;
  std::deque<std::unique_ptr<bool[]>> allowed_;
  std::deque<std::vector<Position>> documents_;
  std::deque<std::shared_ptr<void>> biases_;
};

}  // namespace bits
