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
  const AnyAdding& mask;
  Index number;
  MaskOfSequence(const AnyAdding& all, Index one) : mask(all), number(one) {}
  bool visible(coca::Site site) const {
    site.batch = number;
    return mask.visible(site);
  }
  double bias(coca::Site site) const {
    site.batch = number;
    return mask.bias(site);
  }
  double slope(Index head) const { return mask.slope(head); }
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

  /// One call, whose mask may yet become another one of `tokens`. `run(tensors, mask)` makes it,
  /// `bytes()` says how much work memory it takes.
  template <class T, class Form, class Run, class Bytes>
  void run_beside(const Form& form, Inputs& in, Operand& out, bool checkable, ChosenMask& seen,
                  const MaskedTokens& tokens, const std::vector<Sequence>& sequences,
                  const Run& run, const Bytes& bytes) {
    if (checkable && choose.one_in(2)) options.checked = true;
    if (wrong == Wrong::lse) {
      options.lse = coca::View<double, 3>(lse.data(), {batch, query_heads(), queries + 1});
    }
    spoil_options();
    coca::detail::Tensors tensors{out.view<std::byte>(), in.q.view<const std::byte>(),
                                  in.k.view<const std::byte>(), in.v.view<const std::byte>()};
    const auto spoil = [&] { return spoil_tensors(tensors.q, tensors.k, tensors.v, tensors.out); };
    bool must_throw = spoil();
    const bool own_workspace = wrong == Wrong::nothing && choose.one_in(4);
    choose_more(seen, tokens, kMayAdd<T, Form>, std::array{1e3, -1e3, 1e6, -1e6, 1e30});
    if (wrong == Wrong::nothing) {
      choose_misaligned();
      must_throw = spoil();
    }
    if (own_workspace) workspace.resize(bytes());
    options.workspace = workspace;
    const auto call = [&] {
      with_mask<T, Form>(seen, [&](const auto& mask) { run(tensors, mask); });
    };
    if (!runs(must_throw, {&out}, call)) return;
    for (const Sequence& sequence : sequences) {
      if (query_heads() > 0) compare<T>(form, in, out, seen, sequence);
    }
  }

  /// What the front door says that a right call takes.
  template <class T, class Scheme>
  std::size_t bytes(const coca::detail::Sequences& sequences, const Scheme& scheme) const {
    const AttentionShape shape{batch, queries, keys, query_heads(), key_heads, dim, value_dim};
    return coca::detail::sequences_bytes<T>(sequences, shape, scheme.score_dim(dim),
                                            scheme.key_dim(dim), device(two_threads));
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
  void compare(const Form& form, Inputs& in, Operand& out, const ChosenMask& seen,
               const Sequence& s) {
    const Tensor<double> all_q = in.q.wide(true), all_k = in.k.wide(true), all_v = in.v.wide(true);
    const auto q = part(all_q.view(), s.entry, s.first_query, s.queries);
    const auto k = part(all_k.view(), s.entry, s.first_key, s.keys);
    const auto v = part(all_v.view(), s.entry, s.first_key, s.keys);
    const MaskOfSequence mask(seen.mask, s.number);
    Tensor<double> wide_out({1, s.queries, query_heads(), value_dim});
    std::vector<double> wide_lse(static_cast<std::size_t>(query_heads() * s.queries));
    AttentionOptions own = own_options(s);
    const coca::View<double, 3> own_lse(wide_lse.data(), {1, query_heads(), s.queries});
    own.lse = own_lse;
    test::reference::attention(wide_out.view(), q, k, v, form.definition, mask, own);

    auto bounds = bounds_of<T>(form, in, s.keys, seen.added);
    // The reference adds up in a row: each of so many additions may round its way.
    const double in_a_row = static_cast<double>(s.keys) * test::kUnit<double>;
    bounds.out += 2.0 * test::largest(in.v.wide(false)) * in_a_row;
    bounds.lse += in_a_row;
    const double denormals = lost(out_type, static_cast<double>(s.keys + 1));
    const test::reference::Call call{q, k, form.definition, mask, own};
    for (Index h = 0; h < query_heads(); ++h) {
      for (Index m = 0; m < s.queries; ++m) {
        const Index place = s.first_query + m;
        const auto keys_seen = seen_keys(call, 0, h, m);
        if (!in.q.ordinary_token(s.entry, place, h) || !finite_biases(call, keys_seen, 0, h, m) ||
            !in.ordinary_keys(keys_seen, s.entry, s.first_key, h / group)) {
          continue;
        }
        for (Index i = 0; i < value_dim; ++i) {
          require_near("out is not the reference's", out.get({s.entry, place, h, i}),
                       wide_out.view()(0, m, h, i), bounds.out + denormals);
        }
        require_near("lse is not the reference's", lse_view()(s.entry, h, place), own_lse(0, h, m),
                     bounds.lse);
      }
    }
  }

  template <class T, class Form>
  test::Bounds bounds_of(const Form& form, Inputs& in, Index most_keys, double bias) {
    const double scores = magnitude(form, in.q.wide(false), in.k.wide(false));
    const double value_max = test::largest(in.v.wide(false));
    const bool narrow = q_type == ElementType::bfloat16 && k_type == ElementType::bfloat16 &&
                        v_type == ElementType::bfloat16;
    return with_type(out_type, [&]<class O>(O) {
      using In = std::conditional_t<std::is_same_v<T, double>, double, float>;
      const double added = options.soft_cap + 4.0 + bias;
      return narrow ? test::attention_bounds<Eigen::bfloat16, O>(scores, added, value_max, dim,
                                                                 most_keys)
                    : test::attention_bounds<In, O>(scores, added, value_max, dim, most_keys);
    });
  }
};

}  // namespace fuzz
