#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "coca/coca.hpp"
#include "coca/distance_ceiling_backward.hpp"
#include "coca/reference/attention.hpp"
#include "matrix/methods.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/gradient_bounds.hpp"
#include "support/random.hpp"
#include "support/tokens.hpp"

/// Every method with every scheme, in prefill, in decoding and in training, beside its definition in
/// double; and the table of README.md that says so (scripts/matrix.sh).
namespace {

using namespace test;
using namespace test::matrix;
using coca::AttentionOptions;

/// What came of a combination: it is right, or why not.
using Defect = std::optional<std::string>;

// A rope is nothing to Dot, and cannot be given to it.
static_assert(!std::is_constructible_v<coca::Dot, coca::Rope>);
static_assert(!std::is_constructible_v<coca::Dot, coca::MultiRope>);
constexpr const char* kNoRope = "does not compile: the scheme has no rope";

/// The operands of one call of a scheme.
struct Operands {
  Tensor<float> q, k, v, out;

  Operands(const Sizes& s, Kind kind, Random& random)
      : q({s.batch, s.queries, s.heads(), s.dim}),
        k({s.batch, s.keys, s.key_heads, is_coca(kind) ? s.dim / 2 : s.dim}),
        v({s.batch, s.keys, s.key_heads, s.value_dim}),
        out({s.batch, s.queries, s.heads(), s.value_dim}) {
    q.fill([&] { return random.uniform(); });
    k.fill([&] { return is_coca(kind) ? std::fabs(random.uniform()) : random.uniform(); });
    v.fill([&] { return random.uniform(); });
  }

  double scale() const { return 1.0 / std::sqrt(static_cast<double>(q.view().shape[3])); }
  /// A bound of all scores, and of what masks add: ALiBi, up to half the distance.
  double magnitude(Kind kind, const Setting& setting) const {
    return scale() * setting.factor *
           (is_coca(kind) ? coca_magnitude(longest_row(q), largest(k))
                          : linear_magnitude(longest_row(q), longest_row(k)));
  }
  double added() const { return 1.0 + static_cast<double>(k.view().shape[1]) / 2.0; }

  /// Whether `out` is what the definition says of q, k and v.
  Defect check(const Definition& score, const Setting& setting) const {
    Tensor<double> expected(out.view().shape);
    reference::attention(expected.view(), widened(q).view(), widened(k).view(), widened(v).view(),
                         score, setting.mask);
    const Bounds bounds = attention_bounds<float, float>(
        magnitude(score.kind, setting), added(), largest(v), q.view().shape[3], k.view().shape[1]);
    const double difference = largest_difference(out, expected);
    CHECK(difference <= bounds.out);
    if (difference <= bounds.out) return std::nullopt;
    return "is not what its definition says";
  }
};

/// Calls run(scheme), under a ceiling where the setting has one, and says why it was refused.
template <class Run>
Defect refusal_of(const Setting& setting, Kind kind, const Tensor<float>& out, const Run& run) {
  try {
    const AnyScheme scheme = setting.scheme(kind);
    if (setting.ceiling) {
      run(coca::DistanceCeiling{scheme, *setting.ceiling});
    } else {
      run(scheme);
    }
    return std::nullopt;
  } catch (const std::invalid_argument& error) {
    for (const float x : out.storage()) REQUIRE(x == Tensor<float>::kUntouched);
    return error.what();
  }
}

Definition definition_of(const Setting& setting, Kind kind, Index dim) {
  return {kind, coca::Rope({.dim = dim}), setting.turn, setting.ceiling};
}

Defect prefill(const Method& method, Kind kind, const Sizes& sizes, Random& random) {
  const Setting setting = method.set(sizes, random);
  Operands x(sizes, kind, random);
  const Defect refusal = refusal_of(setting, kind, x.out, [&](const auto& scheme) {
    coca::attention(x.out.view(), x.q.view(), x.k.view(), x.v.view(), scheme, setting.mask);
  });
  return refusal ? refusal : x.check(definition_of(setting, kind, sizes.dim), setting);
}

Defect decode(const Method& method, Kind kind, const Sizes& sizes, Random& random) {
  const Setting setting = method.set(sizes, random);
  Operands x(sizes, kind, random);
  const coca::CacheOptions options{sizes.key_heads, x.k.view().shape[3], sizes.value_dim};
  const auto from = [&](auto&& cache) {
    std::vector<coca::SequenceId> ids;
    for (Index b = 0; b < sizes.batch; ++b) ids.push_back(cache.add());
    cache.append(ids, x.k.view(), x.v.view());
    const Defect refusal = refusal_of(setting, kind, x.out, [&](const auto& scheme) {
      coca::decode(x.out.view(), x.q.view(), cache, ids, scheme, setting.mask);
    });
    if (refusal) return refusal;
    // What the cache holds, which a rolling one does not hold all of.
    const Index held = cache.length(ids[0]);
    Tensor<float> k({sizes.batch, held, sizes.key_heads, options.key_dim});
    Tensor<float> v({sizes.batch, held, sizes.key_heads, options.value_dim});
    k.storage().clear();
    v.storage().clear();
    for (const coca::SequenceId id : ids) {
      const Tokens tokens =
          tokens_of(cache, id, sizes.key_heads, options.key_dim, options.value_dim);
      k.storage().insert(k.storage().end(), tokens.keys.begin(), tokens.keys.end());
      v.storage().insert(v.storage().end(), tokens.values.begin(), tokens.values.end());
    }
    x.k = k;
    x.v = v;
    return x.check(definition_of(setting, kind, sizes.dim), setting);
  };
  if (method.rolling) return from(coca::RollingCache(options, {.sinks = 3, .window = 40}));
  return from(coca::PagedCache(options, {.page_tokens = 32}));
}

/// Whether gradients are the slopes of sum(dout * out), out by its definition, each along one random
/// direction.
Defect train(const Method& method, Kind kind, const Sizes& sizes, Random& random) {
  const Setting setting = method.set(sizes, random);
  Operands x(sizes, kind, random);
  const auto like = [&](const Tensor<float>& of) {
    Tensor<float> direction(of.view().shape);
    direction.fill([&] { return random.uniform(); });
    return direction;
  };
  const Tensor<float> dout = like(x.out);
  Tensor<float> dq(x.q.view().shape), dk(x.k.view().shape), dv(x.v.view().shape);
  std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * sizes.queries));
  const coca::View<float, 3> lse_view(lse.data(), {sizes.batch, sizes.heads(), sizes.queries});
  const Defect refusal = refusal_of(setting, kind, x.out, [&](const auto& scheme) {
    coca::attention(x.out.view(), x.q.view(), x.k.view(), x.v.view(), scheme, setting.mask,
                    {.lse = lse_view});
    coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), x.q.view(), x.k.view(),
                             x.v.view(), x.out.view(), lse_view, scheme, setting.mask);
  });
  if (refusal) return refusal;

  const Definition score = definition_of(setting, kind, sizes.dim);
  const Tensor<double> q = widened(x.q), k = widened(x.k), v = widened(x.v);
  const auto loss = [&](const Tensor<double>& of_q, const Tensor<double>& of_k,
                        const Tensor<double>& of_v) {
    Tensor<double> out(x.out.view().shape);
    reference::attention(out.view(), of_q.view(), of_k.view(), of_v.view(), score, setting.mask);
    double sum = 0.0;
    for (std::size_t i = 0; i < out.storage().size(); ++i) {
      sum += out.storage()[i] * static_cast<double>(dout.storage()[i]);
    }
    return sum;
  };
  const auto moved = [](const Tensor<double>& from, const Tensor<float>& direction, double step) {
    Tensor<double> to = from;
    for (std::size_t i = 0; i < to.storage().size(); ++i) {
      to.storage()[i] += step * static_cast<double>(direction.storage()[i]);
    }
    return to;
  };
  // Weights of one key add up to at most the number of its rows.
  const Index rows = sizes.queries * sizes.group;
  Slopes by = slopes(is_coca(kind), largest(x.q), largest(x.k));
  by.by_query *= x.scale() * setting.factor;
  by.by_key *= x.scale() * setting.factor;
  const double magnitude = x.magnitude(kind, setting);
  const double change = longest_row(dout) * longest_row(x.v);
  const GradientBounds bounds = gradient_bounds<float>(
      magnitude, x.added(), 0.0, change, longest_row(dout), by, static_cast<double>(rows),
      sizes.dim, sizes.value_dim, rows, sizes.keys,
      attention_bounds<float, float>(magnitude, x.added(), largest(x.v), sizes.dim, sizes.keys));
  // Central differences: off by the step squared, and by what the losses are rounded to.
  constexpr double step = 1e-4;
  const auto wrong = [&](const Tensor<float>& gradient, const auto& loss_at, double bound) {
    const Tensor<float> direction = like(gradient);
    double along = 0.0;
    double squares = 0.0;
    for (std::size_t i = 0; i < gradient.storage().size(); ++i) {
      const auto d = static_cast<double>(direction.storage()[i]);
      along += d * static_cast<double>(gradient.storage()[i]);
      squares += d * d;
    }
    const double slope = (loss_at(direction, step) - loss_at(direction, -step)) / (2.0 * step);
    // Errors of single elements are as often up as down.
    const double most = 8.0 * std::sqrt(squares) * bound + 1e-5 * (1.0 + std::fabs(slope));
    CHECK(std::fabs(along - slope) <= most);
    return std::fabs(along - slope) > most;
  };
  const bool q_wrong = wrong(
      dq, [&](const auto& to, double by_step) { return loss(moved(q, to, by_step), k, v); },
      bounds.dq);
  const bool k_wrong = wrong(
      dk, [&](const auto& to, double by_step) { return loss(q, moved(k, to, by_step), v); },
      bounds.dk);
  const bool v_wrong = wrong(
      dv, [&](const auto& to, double by_step) { return loss(q, k, moved(v, to, by_step)); },
      bounds.dv);
  if (q_wrong || k_wrong || v_wrong) return "is not the slope of its definition";
  return std::nullopt;
}

/// So many queries, up to `more_keys` more keys than those, and else up to the sizes of `most`.
Sizes random_sizes(Index queries, Index more_keys, const Sizes& most, Random& random) {
  return {random.integer(1, most.batch),          queries,
          queries + random.integer(0, more_keys), random.integer(1, most.key_heads),
          random.integer(1, most.group),          2 * random.integer(2, most.dim / 2),
          random.integer(1, most.value_dim)};
}
Sizes any_sizes(Index queries, Random& random) {
  return random_sizes(queries, 140,
                      {.batch = 2, .key_heads = 2, .group = 3, .dim = 20, .value_dim = 20}, random);
}
/// For differences of losses, of which each takes the definition for all pairs.
Sizes small_sizes(Index queries, Random& random) {
  return random_sizes(queries, 30,
                      {.batch = 1, .key_heads = 2, .group = 2, .dim = 12, .value_dim = 9}, random);
}

/// Some calls of a combination, of which the same must come.
template <class Call, class SizesOf>
Defect tried(const Call& call, const SizesOf& sizes_of, const Method& method, Kind kind,
             std::array<Index, 3> queries) {
  Defect first;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    Random random(9000 + i);
    const Defect defect = call(method, kind, sizes_of(queries[i], random), random);
    if (i == 0) first = defect;
    CHECK(defect == first);
  }
  return first;
}

/// A table of Markdown, and under it the reasons its numbers stand for.
class Table {
 public:
  Table() {
    text_ = "| |";
    std::string rule = "|---|";
    for (const Kind kind : kKinds) {
      text_ += std::string(" `") + name_of(kind) + "` |";
      rule += "---|";
    }
    text_ += '\n' + rule + '\n';
  }

  void begin_row(const std::string& name) { text_ += "| " + name + " |"; }
  void add(const std::string& cell) { text_ += ' ' + cell + " |"; }
  void end_row() { text_ += '\n'; }

  /// The number of a reason, in parentheses.
  std::string number_of(const std::string& reason) {
    auto at = std::ranges::find(reasons_, reason);
    if (at == reasons_.end()) at = reasons_.insert(at, reason);
    return "(" + std::to_string(at - reasons_.begin() + 1) + ")";
  }

  std::string text() const {
    std::string all = text_ + '\n';
    for (std::size_t i = 0; i < reasons_.size(); ++i) {
      all += "(" + std::to_string(i + 1) + ") `" + reasons_[i] + "`" +
             (i + 1 < reasons_.size() ? "  \n" : "\n");
    }
    return all;
  }

 private:
  std::string text_;
  std::vector<std::string> reasons_;
};

}  // namespace

TEST_CASE("every method with every scheme, in prefill, decoding and training", "[matrix]") {
  Table table;
  for (const Method& method : methods()) {
    table.begin_row(method.name);
    for (const Kind kind : kKinds) {
      INFO(method.name << ", " << name_of(kind));
      if (method.needs_rope && kind == Kind::dot) {
        table.add(table.number_of(kNoRope));
        continue;
      }
      std::vector<std::string> cell;
      const auto add = [&](const char* name, const Defect& defect) {
        const std::string shown = defect ? table.number_of(*defect) : name;
        if (cell.empty() || cell.back() != shown) cell.push_back(shown);
      };
      if (!method.rolling) add("P", tried(prefill, any_sizes, method, kind, {1, 17, 40}));
      add("D", tried(decode, any_sizes, method, kind, {1, 1, 3}));
      if (!method.rolling) add("T", tried(train, small_sizes, method, kind, {1, 9, 17}));
      std::string all = cell.front();
      for (std::size_t i = 1; i < cell.size(); ++i) all += ' ' + cell[i];
      table.add(all);
    }
    table.end_row();
  }
  std::ofstream file(COCA_MATRIX_FILE);
  file << table.text();
  REQUIRE(file.good());
}
