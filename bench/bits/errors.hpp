#pragma once

#include <exception>
#include <functional>
#include <limits>
#include <string>
#include <typeinfo>
#include <vector>

#include "call.hpp"

/// Calls that are wrong in one way each.
namespace bits {

struct Refusal {
  std::string what_is_wrong;
  bool refused;
  std::string text;
};

/// Makes one wrong call after another.
class WrongCalls {
 public:
  explicit WrongCalls(Hash& written) : written_(written) {
    attention();
    packed_attention();
    backward();
    caches();
    others();
  }
  const std::vector<Refusal>& refusals() const { return refusals_; }

 private:
  using Floats = Tensor<float>;

  void expect(const char* what_is_wrong, const std::function<void()>& run) {
    Refusal refusal{what_is_wrong, false, ""};
    try {
      run();
    } catch (const std::exception& error) {
      refusal.refused = true;
      refusal.text = error.what();
    }
    refusals_.push_back(refusal);
  }
  Floats tensor(Index batch, Index tokens, Index heads, Index dim) {
    Random choose(1);
    Floats x({batch, tokens, heads, dim}, choose, false);
    x.fill(choose, 1.0F);
    return x;
  }

  void attention() {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    Floats out = tensor(2, 5, 4, 8), q = tensor(2, 5, 4, 8), k = tensor(2, 7, 2, 8),
           v = tensor(2, 7, 2, 8);
    const coca::Rope rope({.dim = 8});
    const auto with = [&](const char* wrong, auto& an_out, auto& a_q, auto& a_k, auto& a_v,
                          const coca::AttentionOptions& options = {}) {
      expect(wrong, [&] {
        coca::attention(an_out.view(), a_q.view(), a_k.view(), a_v.view(), coca::Dot{},
                        Hides(coca::Full{}), options, device(false));
      });
    };
    Floats batch = tensor(3, 7, 2, 8), heads = tensor(2, 7, 3, 8), width = tensor(2, 7, 2, 6),
           tokens = tensor(2, 6, 2, 8), result = tensor(2, 5, 4, 7);
    with("attention: batch of k", out, q, batch, v);
    with("attention: batch of v", out, q, k, batch);
    with("attention: heads of k", out, q, heads, heads);
    with("attention: heads of v", out, q, k, heads);
    with("attention: width of k", out, q, width, v);
    with("attention: tokens of v", out, q, k, tokens);
    with("attention: width of out", result, q, k, v);
    with("attention: out is q", q, q, k, v);
    coca::AttentionOptions options;
    options.soft_cap = -1.0;
    with("attention: soft_cap", out, q, k, v, options);
    options = {};
    options.scale = nan;
    with("attention: scale", out, q, k, v, options);
    std::vector<float> some(1000, 1.0F);
    options = {};
    options.lse = coca::View<float, 3>(some.data(), {2, 5, 4});
    with("attention: lse", out, q, k, v, options);
    options = {};
    options.sinks = coca::View<const float, 1>(some.data(), {3});
    with("attention: sinks", out, q, k, v, options);
    std::vector<Position> ids(100);
    options = {};
    options.key_ids = {ids.data(), {2, 6}};
    with("attention: key_ids", out, q, k, v, options);
    std::vector<std::byte> workspace(10);
    options = {};
    options.workspace = workspace;
    with("attention: workspace", out, q, k, v, options);
    // How much it takes may change.
    refusals_.back().text.clear();

    const auto masked = [&](const char* wrong, const Hides& mask) {
      expect(wrong, [&] {
        coca::attention(out.view(), q.view(), k.view(), v.view(), coca::Dot{}, mask, {},
                        device(false));
      });
    };
    masked("attention: slopes", coca::Alibi(3));
    const auto allowed = std::make_unique<bool[]>(100);
    masked("attention: mask tensor",
           coca::BooleanMask(coca::View<const bool, 4>(allowed.get(), {1, 1, 5, 6})));
    masked("attention: documents",
           coca::Documents(coca::View<const Position, 2>(ids.data(), {3, 7})));
    const auto rotated = [&](const char* wrong, const AnyScheme& scheme) {
      expect(wrong, [&] {
        coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, Hides(coca::Full{}), {},
                        device(false));
      });
    };
    rotated("attention: rope", Rotary{coca::Rope({.dim = 10})});
    rotated("attention: half-width t", Strict{rope});
    const auto viewed = [&](const char* wrong, const coca::View<float, 4>& an_out,
                            const coca::View<float, 4>& a_q) {
      expect(wrong, [&] {
        coca::attention(an_out, a_q, k.view(), v.view(), coca::Dot{}, Hides(coca::Full{}), {},
                        device(false));
      });
    };
    auto no_q = q.view();
    no_q.data = nullptr;
    viewed("attention: q is null", out.view(), no_q);
    auto one_row = out.view();
    one_row.strides[1] = 0;
    viewed("attention: rows of out in one place", one_row, q.view());
    Floats t = tensor(2, 7, 2, 4);
    t.view()(1, 3, 0, 2) = -1.0F;
    options = {};
    look_at_keys(options);
    expect("attention: negative t", [&] {
      coca::attention(out.view(), q.view(), t.view(), v.view(), AnyScheme(Strict{rope}),
                      Hides(coca::Full{}), options, device(false));
    });
    written_.add("attention");
    out.add_to(written_);
  }

  void packed_attention() {
    Floats out = tensor(1, 9, 2, 8), q = tensor(1, 9, 2, 8), k = tensor(1, 9, 2, 8),
           v = tensor(1, 9, 2, 8);
    const auto with = [&](const char* wrong, const std::vector<std::int32_t>& query_starts,
                          const std::vector<std::int32_t>& key_starts,
                          const coca::AttentionOptions& options = {}) {
      expect(wrong, [&] {
        coca::packed_attention(out.packed(), q.packed(), k.packed(), v.packed(), query_starts,
                               key_starts, coca::Dot{}, Hides(coca::Causal{}), options,
                               device(false));
      });
    };
    with("packed_attention: no starts", {}, {});
    with("packed_attention: first start", {1, 9}, {0, 9});
    with("packed_attention: starts fall", {0, 5, 4, 9}, {0, 3, 4, 9});
    with("packed_attention: last start", {0, 9}, {0, 8});
    with("packed_attention: numbers of starts", {0, 9}, {0, 3, 9});
    coca::AttentionOptions options;
    options.first_key = 3;
    with("packed_attention: first_key", {0, 9}, {0, 9}, options);
    options = {};
    options.first_query = 3;
    with("packed_attention: first_query", {0, 9}, {0, 9}, options);
    written_.add("packed_attention");
    out.add_to(written_);
  }

  void backward() {
    Floats q = tensor(1, 5, 4, 8), k = tensor(1, 7, 2, 8), v = tensor(1, 7, 2, 8),
           out = tensor(1, 5, 4, 8);
    Floats dq = tensor(1, 5, 4, 8), dk = tensor(1, 7, 2, 8), dv = tensor(1, 7, 2, 8),
           wrong_dk = tensor(1, 6, 2, 8);
    std::vector<float> lse(100);
    const auto with = [&](const char* wrong, Floats& a_dk, Floats& a_dout, Shape lse_shape,
                          const coca::MoreGradients& more = {}) {
      expect(wrong, [&] {
        const coca::View<float, 3> rows(lse.data(), {lse_shape[0], lse_shape[1], lse_shape[2]});
        coca::attention_backward(dq.view(), a_dk.view(), dv.view(), a_dout.view(), q.view(),
                                 k.view(), v.view(), out.view(), rows, coca::Dot{},
                                 Hides(coca::Full{}), {}, more, device(false));
      });
    };
    with("attention_backward: shape of dk", wrong_dk, out, {1, 4, 5, 0});
    with("attention_backward: dk is dq", dq, out, {1, 4, 5, 0});
    with("attention_backward: shape of dout", dk, k, {1, 4, 5, 0});
    with("attention_backward: shape of lse", dk, out, {1, 5, 4, 0});
    coca::MoreGradients more;
    std::vector<double> sinks(4);
    more.sinks = coca::View<double, 1>(sinks.data(), {4});
    with("attention_backward: gradient of sinks that are not there", dk, out, {1, 4, 5, 0}, more);
    std::vector<float> bias(1000);
    more = {};
    more.bias = coca::View<float, 4>(bias.data(), {1, 4, 5, 6});
    with("attention_backward: shape of the gradient of biases", dk, out, {1, 4, 5, 0}, more);
    written_.add("attention_backward");
    for (const Floats* x : {&dq, &dk, &dv}) x->add_to(written_);
  }

  void caches() {
    coca::CacheOptions options;
    expect("cache: no heads", [&] { coca::GrowingCache cache(options); });
    options.key_heads = 2;
    options.key_dim = 8;
    options.value_dim = 8;
    coca::PageOptions pages;
    pages.page_tokens = 17;
    expect("cache: tokens of a page", [&] { coca::PagedCache cache(options, pages); });
    pages.page_tokens = 16;
    pages.pages = 1;
    coca::RollingOptions rolling;
    rolling.window = 0;
    expect("cache: window", [&] { coca::RollingCache cache(options, rolling); });

    coca::PagedCache cache(options, pages);
    const coca::SequenceId id = cache.add();
    Floats k = tensor(1, 12, 2, 8), v = tensor(1, 12, 2, 8), wide = tensor(1, 12, 2, 9);
    cache.append(id, k.packed(), v.packed());
    expect("cache: width", [&] { cache.append(id, wide.packed(), v.packed()); });
    expect("cache: full", [&] { cache.append(id, k.packed(), v.packed()); });
    expect("cache: a sequence that is not there", [&] { cache.drop(id + 1); });
    expect("cache: length", [&] { cache.truncate(id, 13); });

    Floats q = tensor(1, 1, 4, 8), out = tensor(1, 1, 4, 8), heads = tensor(1, 1, 3, 8);
    const auto with = [&](const char* wrong, Floats& a_q, coca::SequenceId sequence) {
      expect(wrong, [&] {
        coca::decode(out.view(), a_q.view(), cache, {&sequence, 1}, coca::Dot{},
                     Hides(coca::Causal{}), {}, device(false));
      });
    };
    with("decode: a sequence that is not there", q, id + 7);
    with("decode: heads", heads, id);
    const std::vector<coca::SequenceId> twice{id, id};
    Floats two = tensor(2, 1, 2, 8);
    expect("cache: a sequence twice", [&] { cache.append(twice, two.view(), two.view()); });
    const std::vector<std::int64_t> starts{0, 2};
    expect("packed_decode: starts", [&] {
      coca::packed_decode(out.packed(), q.packed(), starts, cache, {&id, 1}, coca::Dot{},
                          Hides(coca::Causal{}), {}, device(false));
    });
    written_.add("decode");
    out.add_to(written_);
    written_.add(static_cast<std::uint64_t>(cache.length(id)));
  }

  void others() {
    Floats a = tensor(1, 5, 4, 8), b = tensor(1, 6, 4, 8);
    std::vector<float> lse(100);
    const coca::View<float, 3> rows(lse.data(), {1, 4, 5});
    expect("merge: shapes", [&] { coca::merge(a.view(), rows, b.view(), rows, device(false)); });
    const coca::Rope rope({.dim = 10});
    expect("rotate: width", [&] { coca::rotate(a.view(), rope, {}, device(false)); });
    expect("rope: dim", [&] { coca::Rope odd({.dim = 7}); });
    expect("rope: rotary_dim", [&] { coca::Rope wide({.dim = 8, .rotary_dim = 10}); });
    expect("rope: base", [&] { coca::Rope without({.dim = 8, .base = -1.0}); });
    expect("mask: window", [&] { Window left(-1, 0); });
    expect("mask: dilation", [&] { coca::DilatedWindow window(1, 1, 0); });
    expect("mask: global tokens", [&] { coca::GlobalTokens tokens({-1}); });
    expect("mask: prefix", [&] { coca::PrefixLm prefix(-1); });
    expect("ceiling of a score that is no function of the distance",
           [&] { static_cast<void>(coca::DistanceCeiling(Slack{coca::Rope({.dim = 8})}, 9)); });
    written_.add("others");
    a.add_to(written_);
  }

  Hash& written_;
  std::vector<Refusal> refusals_;
};

}  // namespace bits
