#pragma once

#include "fuzz/call.hpp"

/// A call of the forward pass beside the reference, sequence by sequence.
namespace fuzz {

/// One sequence of a call: a batch entry, or some tokens of a packed one.
struct Sequence {
  Index number;  ///< what a mask is told
  Index entry;   ///< of the tensors
  Index first_query, first_key, queries, keys;
};

/// What a mask says of one of several sequences.
struct MaskOfSequence : coca::MaskDefaults {
  const AnyMask& mask;
  Index number;
  MaskOfSequence(const AnyMask& all, Index one) : mask(all), number(one) {}
  bool visible(coca::Site site) const {
    site.batch = number;
    return mask.visible(site);
  }
};

/// Some tokens of one batch entry.
template <class T>
TensorView<T> part(const TensorView<T>& x, Index entry, Index first, Index count) {
  return {x.data + entry * x.strides[0] + first * x.strides[1],
          {1, count, x.shape[2], x.shape[3]},
          x.strides};
}

/// In every row that meets ordinary numbers only, it gives what the reference does.
struct ForwardCall : Call {
  using Call::Call;

  /// One call. `run(tensors)` makes it, `bytes()` says how much work memory it takes.
  template <class T, class Form, class Run, class Bytes>
  void run_beside(const Form& form, Inputs& in, Operand& out, bool checkable, const AnyMask& seen,
                  const std::vector<Sequence>& sequences, const Run& run, const Bytes& bytes) {
    if (checkable && choose.one_in(2)) options.checked = true;
    if (wrong == Wrong::lse) {
      options.lse = coca::View<double, 3>(lse.data(), {batch, query_heads(), queries + 1});
    }
    spoil_options();
    coca::detail::Tensors tensors{out.view<std::byte>(), in.q.view<const std::byte>(),
                                  in.k.view<const std::byte>(), in.v.view<const std::byte>()};
    const bool must_throw = spoil_tensors(tensors.q, tensors.v, tensors.out);
    if (wrong == Wrong::nothing && choose.one_in(4)) workspace.resize(bytes());
    options.workspace = workspace;
    if (!runs(must_throw, {&out}, [&] { run(tensors); })) return;
    for (const Sequence& sequence : sequences) {
      if (query_heads() > 0) compare<T>(form, in, out, seen, sequence);
    }
  }

  /// What the front door says that a right call takes.
  template <class T, class Scheme>
  std::size_t bytes(const coca::detail::Sequences& sequences, const Scheme& scheme) const {
    const AttentionShape shape{batch, queries, keys, query_heads(), key_heads, dim, value_dim};
    return coca::detail::sequences_bytes<T>(sequences, shape, scheme.score_dim(dim),
                                            scheme.key_dim(dim), Eigen::DefaultDevice{});
  }

 private:
  /// The options of one sequence.
  AttentionOptions own_options(const Sequence& s) const {
    AttentionOptions own = options;
    const auto place = [&](coca::View<const Position, 2>& ids, Index first, Index count) {
      if (ids.data == nullptr) return;
      ids.data += (ids.shape[0] == 1 ? 0 : s.entry) * ids.strides[0] + first;
      ids.shape = {1, count};
    };
    place(own.query_ids, s.first_query, s.queries);
    place(own.key_ids, s.first_key, s.keys);
    return own;
  }

  template <class T, class Form>
  void compare(const Form& form, Inputs& in, Operand& out, const AnyMask& seen, const Sequence& s) {
    const Tensor<double> all_q = in.q.wide(true), all_k = in.k.wide(true), all_v = in.v.wide(true);
    const auto q = part(all_q.view(), s.entry, s.first_query, s.queries);
    const auto k = part(all_k.view(), s.entry, s.first_key, s.keys);
    const auto v = part(all_v.view(), s.entry, s.first_key, s.keys);
    const MaskOfSequence mask(seen, s.number);
    Tensor<double> wide_out({1, s.queries, query_heads(), value_dim});
    std::vector<double> wide_lse(static_cast<std::size_t>(query_heads() * s.queries));
    AttentionOptions own = own_options(s);
    const coca::View<double, 3> own_lse(wide_lse.data(), {1, query_heads(), s.queries});
    own.lse = own_lse;
    test::reference::attention(wide_out.view(), q, k, v, form.definition, mask, own);

    const auto bounds = bounds_of<T>(form, in, s.keys);
    const test::reference::Call call{q, k, form.definition, mask, own};
    for (Index h = 0; h < query_heads(); ++h) {
      for (Index m = 0; m < s.queries; ++m) {
        const Index place = s.first_query + m;
        if (!in.q.ordinary_token(s.entry, place, h) ||
            !in.ordinary_keys(seen_keys(call, 0, h, m), s.entry, s.first_key, h / group)) {
          continue;
        }
        for (Index i = 0; i < value_dim; ++i) {
          require_near("out is not the reference's", out.get({s.entry, place, h, i}),
                       wide_out.view()(0, m, h, i), bounds.out + kDenormal);
        }
        require_near("lse is not the reference's", lse_view()(s.entry, h, place), own_lse(0, h, m),
                     bounds.lse);
      }
    }
  }

  template <class T, class Form>
  test::Bounds bounds_of(const Form& form, Inputs& in, Index most_keys) {
    const double scores = magnitude(form, in.q.wide(false), in.k.wide(false));
    const double value_max = test::largest(in.v.wide(false));
    const bool narrow = q_type == ElementType::bfloat16 && k_type == ElementType::bfloat16 &&
                        v_type == ElementType::bfloat16;
    return with_type(out_type, [&]<class O>(O) {
      using In = std::conditional_t<std::is_same_v<T, double>, double, float>;
      const double added = options.soft_cap + 4.0;
      return narrow ? test::attention_bounds<Eigen::bfloat16, O>(scores, added, value_max, dim,
                                                                 most_keys)
                    : test::attention_bounds<In, O>(scores, added, value_max, dim, most_keys);
    });
  }
};

}  // namespace fuzz
