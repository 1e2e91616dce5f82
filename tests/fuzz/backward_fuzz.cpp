#include <optional>
#include <utility>

#include "coca/reference/attention_backward.hpp"
#include "fuzz/call.hpp"
#include "support/gradient_bounds.hpp"

/// coca::attention_backward under any call. A right one gives the reference's gradients wherever
/// ordinary numbers alone meet, whatever is elsewhere, and writes nothing else; a wrong one throws
/// std::invalid_argument and writes nothing.
namespace fuzz {

constexpr std::array kWrong{Wrong::nothing,     Wrong::k_batch,       Wrong::v_keys,
                            Wrong::v_heads,     Wrong::groups,        Wrong::k_width,
                            Wrong::shape,       Wrong::negative,      Wrong::null,
                            Wrong::zero_stride, Wrong::scale,         Wrong::soft_cap,
                            Wrong::lse,         Wrong::sinks,         Wrong::ids,
                            Wrong::overlap,     Wrong::workspace,     Wrong::overlapping_gradients,
                            Wrong::bias_shape,  Wrong::sinks_without, Wrong::sinks_shape};

/// What is expected of an element of a gradient: any number where strange ones have part in it.
class Expected {
 public:
  explicit Expected(const Shape& shape) : values_(shape), strange_(shape) {
    for (auto* x : {&values_, &strange_}) x->fill([] { return 0.0; });
  }
  TensorView<double> view() { return values_.view(); }
  void leave_open(Index b, Index n, Index h, Index i) { strange_.view()(b, n, h, i) = 1.0; }
  void leave_row_open(Index b, Index n, Index h) {
    for (Index i = 0; i < view().shape[3]; ++i) leave_open(b, n, h, i);
  }

  /// `bound` is that of the sum; its type rounds once more. What became 0 may have met slopes, in sums
  /// of many terms: 1e10 is more than all of that.
  void check(const char* what, Operand& was, double bound) {
    const double unit = with_type(was.type(), []<class X>(X) { return test::storage_unit<X>(); });
    const double denormals = lost(was.type(), 1e10);
    const double most = with_type(
        was.type(), []<class X>(X) { return static_cast<double>(std::numeric_limits<X>::max()); });
    was.for_each([&](const Shape& at) {
      if (strange_.view()(at[0], at[1], at[2], at[3]) != 0.0) return;
      const double expected = view()(at[0], at[1], at[2], at[3]);
      const double result = was.get(at);
      // What may be beyond the largest number of its type is infinite.
      if (std::isinf(result) && std::copysign(1.0, result) * expected + bound > most) return;
      require_near(what, result, expected,
                   bound + unit * (std::fabs(expected) + bound) + denormals);
    });
  }

 private:
  Tensor<double> values_, strange_;
};

/// Strides of 0 where one number stands for all.
TensorView<double> shared(TensorView<double> x) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (x.shape[axis] == 1) x.strides[axis] = 0;
  }
  return x;
}

/// What a call writes, and what is expected there.
struct Gradient {
  Operand was;
  Expected expected;
  explicit Gradient(Operand x) : was(std::move(x)), expected(was.shape()) {}
  void check(const char* what, double bound) { expected.check(what, was, bound); }
};
struct Gradients {
  Gradient q, k, v;
  std::optional<Gradient> bias, sinks;

  std::vector<Operand*> written() {
    std::vector<Operand*> all{&q.was, &k.was, &v.was};
    if (bias) all.push_back(&bias->was);
    if (sinks) all.push_back(&sinks->was);
    return all;
  }
  /// Of float or double.
  coca::MoreGradients more() {
    coca::MoreGradients result;
    const auto give = [&]<class X>(X) {
      if (bias) result.bias = bias->was.view_of<X>();
      if (!sinks) return;
      const auto all = sinks->was.view_of<X>();
      result.sinks = coca::View<X, 1>(all.data, {all.shape[3]}, {all.strides[3]});
    };
    const bool wide = (bias && bias->was.type() == ElementType::float64) ||
                      (sinks && sinks->was.type() == ElementType::float64);
    wide ? give(double{}) : give(float{});
    return result;
  }
};

struct BackwardCall : Call {
  explicit BackwardCall(Choices& c) : Call(c, kWrong) {}

  template <class T, class Form>
  void run(const Form& form) {
    Inputs in(*this, form.half_width);
    // Whose shape is wrong, if one is.
    const Index spoilt = wrong == Wrong::shape ? choose.integer(0, 4) : 5;
    Gradient dq = gradient_of(in.q, spoilt == 0), dk = gradient_of(in.k, spoilt == 1),
             dv = gradient_of(in.v, spoilt == 2);
    Gradients to{std::move(dq), std::move(dk), std::move(dv), {}, {}};
    Operand out({batch, queries + (spoilt == 3 ? 1 : 0), query_heads(), value_dim}, out_type,
                Operand::Use::output, choose);
    Operand dout({batch, queries + (spoilt == 4 ? 1 : 0), query_heads(), value_dim}, any_type(),
                 Operand::Use::input, choose);
    const Index strange = in.fill(choose);
    out.fill(false, choose);
    dout.fill(false, choose);
    dout.poison(strange == 3 ? 1 : 0, choose);
    ChosenMask seen = masks.first(masked_tokens(1, queries, keys));
    choose_logits();
    choose_places();
    choose_ids_and_sinks();
    choose_more(seen, masked_tokens(batch, queries, keys), kMayAdd<T, Form>,
                std::array{1e2, -1e3, 1e4, 1e6});
    if (strange == 0 && choose.one_in(2)) options.checked = true;
    if (wrong == Wrong::nothing && batch * queries * query_heads() > 0) {
      give_result(form, in, out, seen.mask);
      // Smaller numbers would be wrong results, not strange ones.
      out.poison(strange == 3 && choose.one_in(2) ? 1 : 0, choose,
                 std::array{kInfinity, -kInfinity});
    }
    spoil_options();
    ask_for_more(to);
    const bool wide_lse = choose.one_in(2);
    if (!right_call<T>(form, in, out, dout, seen, to, wide_lse)) return;

    const double key_weight = query_heads() == 0 ? 0.0 : expect(form, in, out, dout, seen.mask, to);
    const auto bounds = bounds_of<T>(form, in, out, dout, key_weight, wide_lse, seen.added);
    to.q.check("dq is not the reference's", bounds.dq);
    to.k.check("dk is not the reference's", bounds.dk);
    to.v.check("dv is not the reference's", bounds.dv);
    // dout . v and dout . out are at most this.
    const double change = test::longest_row(dout.wide(false)) * test::longest_row(in.v.wide(false));
    const auto rows = static_cast<double>(batch * query_heads() * queries);
    if (to.bias) {
      // So many pairs add to one number.
      const auto adds = static_cast<double>(batch * query_heads() * queries * keys) /
                        static_cast<double>(std::max<Index>(to.bias->was.count(), 1));
      to.bias->check("the gradient of a bias is not the reference's",
                     adds * bounds.dbias + rounded(to.bias->was, adds, 2.0 * change * rows));
    }
    if (to.sinks) {
      to.sinks->check("the gradient of a sink is not the reference's",
                      static_cast<double>(batch) * bounds.dsinks +
                          rounded(to.sinks->was, static_cast<double>(batch), change * rows));
    }
  }

 private:
  /// What so many additions lose where sums are in double but what they are added to is not, if all
  /// magnitudes add up to `magnitudes`.
  double rounded(const Operand& x, double adds, double magnitudes) const {
    if (q_type != ElementType::float64 || x.type() == ElementType::float64) return 0.0;
    return test::sum_error(adds, test::kUnit<float>) * magnitudes;
  }
  /// A type that goes with those of the operands.
  ElementType any_type() {
    return q_type == ElementType::float64 ? q_type : choose.pick(kNarrowTypes);
  }
  Gradient gradient_of(const Operand& x, bool spoilt) {
    Shape shape = x.shape();
    if (spoilt) ++shape[static_cast<std::size_t>(choose.integer(0, 3))];
    return Gradient({shape, any_type(), Operand::Use::output, choose});
  }
  /// Any axis may be one number for all.
  Shape bias_shape() {
    Shape shape{batch, query_heads(), queries, keys};
    const Index spoilt = wrong == Wrong::bias_shape ? choose.integer(0, 3) : 4;
    for (Index axis = 0; axis < 4; ++axis) {
      Index& extent = shape[static_cast<std::size_t>(axis)];
      if (axis == spoilt) {
        extent += 2;
      } else if (choose.one_in(3)) {
        extent = 1;
      }
    }
    return shape;
  }
  /// Gradients of a bias and of sinks, or one of them, or neither.
  void ask_for_more(Gradients& to) {
    const ElementType type = choose.one_in(2) ? ElementType::float64 : ElementType::float32;
    if (choose.one_in(2) || wrong == Wrong::bias_shape) {
      to.bias.emplace(Operand(bias_shape(), type, Operand::Use::output, choose));
      to.bias->was.fill(false, choose);
    }
    const bool wrong_sinks = wrong == Wrong::sinks_without || wrong == Wrong::sinks_shape;
    if (wrong_sinks || (!sinks.empty() && choose.one_in(2))) {
      to.sinks.emplace(Operand({1, 1, 1, query_heads() + more(Wrong::sinks_shape)}, type,
                               Operand::Use::output, choose));
    }
    if (wrong == Wrong::sinks_without) options.sinks = {};
  }

  /// Makes the call. Returns whether it was a right one.
  template <class T, class Form>
  bool right_call(const Form& form, Inputs& in, Operand& out, Operand& dout, const ChosenMask& seen,
                  Gradients& to, bool wide_lse) {
    coca::detail::BackwardTensors tensors{
        to.q.was.view<std::byte>(),   to.k.was.view<std::byte>(),   to.v.was.view<std::byte>(),
        dout.view<const std::byte>(), in.q.view<const std::byte>(), in.k.view<const std::byte>(),
        in.v.view<const std::byte>(), out.view<const std::byte>()};
    const std::array outputs{&tensors.dq, &tensors.dk, &tensors.dv};
    const auto spoil = [&] {
      return spoil_tensors(tensors.q, tensors.k, tensors.v, *choose.pick(outputs));
    };
    bool must_throw = spoil();
    if (wrong == Wrong::overlapping_gradients) {
      must_throw = share_memory(tensors.dk, tensors.dv);
    }
    if (wrong == Wrong::nothing && choose.one_in(4)) workspace.resize(bytes<T>(form.scheme));
    choose_misaligned();
    if (wrong == Wrong::misaligned) must_throw = spoil();
    options.workspace = workspace;
    const std::vector<float> narrow_lse(lse_view().data, lse_view().data + lse.size());
    const std::array<Index, 3> rows{batch, query_heads(), queries + more(Wrong::lse)};
    const coca::detail::LseInput lse_input =
        wide_lse ? coca::detail::LseInput(coca::View<const double, 3>(lse.data(), rows))
                 : coca::detail::LseInput(coca::View<const float, 3>(narrow_lse.data(), rows));
    const auto call = [&] {
      with_mask<T, Form>(seen, [&](const auto& mask) {
        coca::detail::run_backward<T>(tensors, lse_input, form.scheme, mask, options, to.more(),
                                      device(two_threads));
      });
    };
    return runs(must_throw, to.written(), call);
  }

  /// out and lse are what the reference gives.
  template <class Form>
  void give_result(const Form& form, Inputs& in, Operand& out, const AnyAdding& seen) {
    const Tensor<double> q = in.q.wide(true), k = in.k.wide(true), v = in.v.wide(true);
    Tensor<double> result(out.shape());
    AttentionOptions forward = options;
    forward.lse = lse_view();
    test::reference::attention(result.view(), q.view(), k.view(), v.view(), form.definition, seen,
                               forward);
    out.for_each([&](const Shape& at) { out.set(at, result.view()(at[0], at[1], at[2], at[3])); });
  }

  /// Gradients by the reference. Returns the largest sum of the weights of a key.
  template <class Form>
  double expect(const Form& form, Inputs& in, Operand& out, Operand& dout, const AnyAdding& seen,
                Gradients& to) {
    test::reference::Gradients sums{to.q.expected.view(), to.k.expected.view(),
                                    to.v.expected.view()};
    if (to.bias) sums.dbias = shared(to.bias->expected.view());
    if (to.sinks) sums.dsinks = {to.sinks->expected.view().data, {query_heads()}};
    const Tensor<double> q = in.q.wide(true), k = in.k.wide(true), v = in.v.wide(true),
                         change = dout.wide(true);
    test::reference::attention_backward(sums, change.view(), q.view(), k.view(), v.view(),
                                        form.definition, seen, options);
    const Tensor<double> q_ordinary = in.q.wide(false), k_ordinary = in.k.wide(false);
    const test::reference::Call call{q_ordinary.view(), k_ordinary.view(), form.definition, seen,
                                     options};
    Tensor<double> weights({batch, keys, key_heads, 1});
    weights.fill([] { return 0.0; });
    for (Index b = 0; b < batch; ++b) {
      for (Index h = 0; h < query_heads(); ++h) {
        for (Index m = 0; m < queries; ++m) {
          const auto row = call.weights(b, h, m);
          for (std::size_t i = 0; i < row.seen.size(); ++i) {
            weights.view()(b, row.seen[i], h / group, 0) += row.weights[i];
          }
          if (!in.q.ordinary_token(b, m, h) || !out.ordinary_token(b, m, h) ||
              !dout.ordinary_token(b, m, h) || !in.ordinary_keys(row.seen, b, 0, h / group) ||
              !finite_biases(call, row.seen, b, h, m)) {
            leave_open(to, row.seen, b, h, m);
          }
        }
      }
    }
    return test::largest(weights);
  }

  /// Whatever a strange query has part in.
  void leave_open(Gradients& to, const std::vector<Index>& seen, Index b, Index h, Index m) const {
    if (to.sinks) to.sinks->expected.leave_open(0, 0, 0, h);
    // What sees nothing has a gradient of 0, whatever it is.
    if (!seen.empty()) to.q.expected.leave_row_open(b, m, h);
    for (const Index n : seen) {
      to.k.expected.leave_row_open(b, n, h / group);
      to.v.expected.leave_row_open(b, n, h / group);
      if (!to.bias) continue;
      const Shape& extent = to.bias->was.shape();
      to.bias->expected.leave_open(extent[0] == 1 ? 0 : b, extent[1] == 1 ? 0 : h,
                                   extent[2] == 1 ? 0 : m, extent[3] == 1 ? 0 : n);
    }
  }

  template <class T, class Form>
  test::GradientBounds bounds_of(const Form& form, Inputs& in, Operand& out, Operand& dout,
                                 double key_weight, bool wide_lse, double bias) {
    const Tensor<double> q = in.q.wide(false), k = in.k.wide(false), v = in.v.wide(false),
                         change = dout.wide(false);
    const double scores = magnitude(form, q, k);
    const double added = options.soft_cap + 4.0 + bias;
    test::Slopes by = test::slopes(form.coca, test::largest(q), test::largest(k));
    by.by_query *= scale();
    by.by_key *= scale();
    const double out_unit =
        with_type(out.type(), []<class X>(X) { return test::storage_unit<X>(); });
    const double lse_unit = wide_lse ? test::kUnit<T> : test::kUnit<float>;
    const test::Bounds result{
        out_unit * test::largest(v) + lost(out.type(), static_cast<double>(keys + 1)),
        lse_unit * (scores + added + std::log(static_cast<double>(keys) + 1.0))};
    const double change_row = test::longest_row(change);
    return test::gradient_bounds<T>(scores, added,
                                    options.soft_cap > 0.0 ? 1.0 / options.soft_cap : 0.0,
                                    change_row * test::longest_row(v), change_row, by, key_weight,
                                    dim, value_dim, queries * group, keys, result);
  }

  /// What the front door says that a right call takes.
  template <class T, class Scheme>
  std::size_t bytes(const Scheme& scheme) const {
    const auto shapes = [&](Index length, Index heads, Index width) {
      return TensorView<const T>(nullptr, {batch, length, heads, width});
    };
    return coca::backward_workspace_bytes(
        shapes(queries, query_heads(), dim), shapes(keys, key_heads, scheme.key_dim(dim)),
        shapes(keys, key_heads, value_dim), scheme, device(two_threads));
  }
};

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choose(data, size);
  fuzz::one<fuzz::BackwardCall>(choose);
  return 0;
}
