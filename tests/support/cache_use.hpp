#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/any_mask.hpp"
#include "support/bounds.hpp"
#include "support/tokens.hpp"

/// Any use of a cache beside plain lists of tokens.
namespace test {

using coca::ElementType;
using coca::SequenceId;

/// How far a number may be from what was appended, over the largest of its row.
inline double stored_error(ElementType type) {
  switch (type) {
    case ElementType::bfloat16:
      return storage_unit<Eigen::bfloat16>();
    case ElementType::float16:
      return storage_unit<Eigen::half>();
    case ElementType::int8:
      return 1.0 / 254.0 + 0x1p-22;  // and rounding of s, x / s and s q
    default:
      return 0.0;
  }
}

/// Takes one step after another with a cache, and holds what comes out against the lists. `wrong()`
/// says what was found first, empty if nothing was.
template <class Cache>
class CacheUse {
 public:
  struct Widths {
    Index heads = 1, key_dim = 1, value_dim = 1, group = 1;
    ElementType type = ElementType::float32;
    Index sinks = 0, window = std::numeric_limits<Index>::max() / 2;  ///< what the cache keeps
  };

  CacheUse(Cache& cache, const Widths& widths) : cache_(cache), widths_(widths) {}

  const std::string& wrong() const { return wrong_; }
  int decoded() const { return decoded_; }

  /// One step. `choose` has integer(low, high); numbers come from `random`. `scheme` reads key
  /// operands of the cache's width.
  template <class Choose, class Scheme>
  void step(Choose& choose, Random& random, const Scheme& scheme) {
    const Index what = lists_.empty() ? 0 : choose.integer(0, 10);
    switch (what) {
      case 0:
        if (lists_.size() < kMostSequences) lists_.emplace(cache_.add(), empty());
        return;
      case 1:
        if (lists_.size() < kMostSequences) {
          const auto from = some(choose);
          const Tokens copy = from->second;
          lists_.emplace(cache_.fork(from->first), copy);
        }
        return;
      case 2: {
        const auto gone = some(choose);
        cache_.drop(gone->first);
        lists_.erase(gone);
        return;
      }
      case 3: {
        const auto shorter = some(choose);
        const Index length = choose.integer(0, shorter->second.length());
        cache_.truncate(shorter->first, length);
        shorter->second.truncate(length);
        return;
      }
      case 4:
        return misuse(choose);
      case 5:
        return append(several(choose), choose, random);
      case 6:
      case 7:
        return append({some(choose)->first}, choose, random);
      case 8:
        return decode(several(choose), choose, random, scheme);
      default:
        return decode({some(choose)->first}, choose, random, scheme);
    }
  }

  /// Reads all that is left, and drops it.
  void end() {
    for (const auto& [id, list] : lists_) {
      check_tokens(id, list, "at the end");
      cache_.drop(id);
    }
    lists_.clear();
    if constexpr (requires { cache_.pages_used(); }) {
      require(cache_.pages_used() == 0, "pages are left without sequences");
    }
  }

 private:
  static constexpr std::size_t kMostSequences = 6;

  void require(bool holds, const std::string& what) {
    if (!holds && wrong_.empty()) wrong_ = what;
  }
  Tokens empty() const { return {widths_.heads, widths_.key_dim, widths_.value_dim}; }
  template <class Choose>
  auto some(Choose& choose) {
    return std::next(lists_.begin(), choose.integer(0, static_cast<Index>(lists_.size()) - 1));
  }
  template <class Choose>
  std::vector<SequenceId> several(Choose& choose) {
    std::vector<SequenceId> ids;
    for (const auto& [id, list] : lists_) {
      if (choose.integer(0, 1) == 1) ids.push_back(id);
    }
    if (ids.size() > 1 && choose.integer(0, 1) == 1) std::swap(ids.front(), ids.back());
    return ids;
  }

  /// That a sequence holds these tokens, by the bit.
  void check_tokens(SequenceId id, const Tokens& list, const char* when) {
    require(cache_.length(id) == list.length(), std::string("length ") + when);
    if (cache_.length(id) != list.length()) return;
    const Tokens held = tokens_of(cache_, id, widths_.heads, widths_.key_dim, widths_.value_dim);
    const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    require(std::equal(held.keys.begin(), held.keys.end(), list.keys.begin(), same) &&
                std::equal(held.values.begin(), held.values.end(), list.values.begin(), same),
            std::string("tokens ") + when);
  }

  /// That rows are what was appended, up to rounding to the type of the cache, or what was read then.
  void check_stored(const std::vector<float>& held, const std::vector<float>& given, Index width,
                    const char* what) {
    const auto row = static_cast<std::size_t>(width);
    for (std::size_t first = 0; first < given.size(); first += row) {
      float largest = 0.0F;
      bool finite = true;
      for (std::size_t i = first; i < first + row; ++i) {
        finite = finite && std::isfinite(given[i]);
        largest = std::max(largest, std::fabs(given[i]));
      }
      for (std::size_t i = first; i < first + row; ++i) {
        const float was = held[i];
        if (!finite && widths_.type == ElementType::int8) {
          require(std::isnan(was), std::string(what) + " of a row that is not finite");
        } else if (!std::isfinite(given[i])) {
          require(std::isnan(given[i]) ? std::isnan(was) : was == given[i],
                  std::string(what) + " that is not finite");
        } else {
          const double bound =
              stored_error(widths_.type) * (finite ? largest : std::fabs(given[i]));
          // Beside it, half of the smallest number there is of half.
          require(std::fabs(static_cast<double>(was) - static_cast<double>(given[i])) <=
                      bound + (widths_.type == ElementType::float16 ? 0x1p-25 : 0.0),
                  std::string(what) + " is not what was appended");
        }
      }
    }
  }

  template <class Choose>
  Tokens some_tokens(Index count, Choose& choose, Random& random) {
    Tokens more = empty().add(count, random);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float inf = std::numeric_limits<float>::infinity();
    if (count == 0 || choose.integer(0, 15) != 15) return more;
    const auto at = [&](std::vector<float>& x) -> float& {
      return x[static_cast<std::size_t>(random.integer(0, static_cast<Index>(x.size()) - 1))];
    };
    at(more.values) = random.pick(std::array{nan, inf, -inf});
    if (choose.integer(0, 1) == 1) at(more.keys) = nan;
    return more;
  }

  template <class Choose>
  void append(const std::vector<SequenceId>& ids, Choose& choose, Random& random) {
    const Index count = choose.integer(0, 40);
    std::vector<Tokens> more;
    Tokens all = empty();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      more.push_back(some_tokens(count, choose, random));
      all.append(more.back());
    }
    try {
      if (ids.size() == 1) {
        cache_.append(ids[0], more[0].k(), more[0].v());
      } else {
        const auto sequences = static_cast<Index>(ids.size());
        const auto tensor = [&](const std::vector<float>& x, Index width) {
          return coca::TensorView<const float>(x.data(), {sequences, count, widths_.heads, width});
        };
        cache_.append(std::span<const SequenceId>(ids), tensor(all.keys, widths_.key_dim),
                      tensor(all.values, widths_.value_dim));
      }
    } catch (const coca::CacheFull&) {
      for (const SequenceId id : ids) check_tokens(id, lists_.at(id), "of a cache that is full");
      return;
    }
    for (std::size_t i = 0; i < ids.size(); ++i) keep(ids[i], more[i]);
  }

  /// What a sequence holds now, which must be its list with more tokens, becomes the list.
  void keep(SequenceId id, const Tokens& more) {
    Tokens& list = lists_.at(id);
    list.append(more);
    const Index most = widths_.sinks + widths_.window;
    if (list.length() > most) {
      list.erase(widths_.sinks, widths_.sinks + list.length() - most);
    }
    require(cache_.length(id) == list.length(), "length after an append");
    if (!wrong_.empty()) return;
    Tokens held = tokens_of(cache_, id, widths_.heads, widths_.key_dim, widths_.value_dim);
    check_stored(held.keys, list.keys, widths_.key_dim, "a key");
    check_stored(held.values, list.values, widths_.value_dim, "a value");
    list = std::move(held);
  }

  /// Calls that must throw, and change nothing.
  template <class Choose>
  void misuse(Choose& choose) {
    const auto chosen = some(choose);
    const SequenceId known = chosen->first;
    const Tokens& list = chosen->second;
    const Tokens wide{widths_.heads, widths_.key_dim + 1, widths_.value_dim};
    Random random(1);
    Tokens other = wide;
    other.add(1, random);
    const std::vector<SequenceId> twice{known, known};
    const auto throws = [&](const auto& call) {
      try {
        call();
        return false;
      } catch (const std::invalid_argument&) {
        return true;
      }
    };
    bool thrown = false;
    switch (choose.integer(0, 5)) {
      case 0:
        thrown = throws([&] { cache_.truncate(known, list.length() + 1); });
        break;
      case 1:
        thrown = throws([&] { cache_.truncate(known, -1); });
        break;
      case 2:
        thrown = throws([&] { cache_.drop(lists_.rbegin()->first + 1000); });
        break;
      case 3:
        thrown = throws([&] { cache_.fork(-1); });
        break;
      case 4:
        thrown = throws([&] { cache_.append(known, other.k(), other.v()); });
        break;
      default:
        thrown = throws([&] {
          cache_.append(
              std::span<const SequenceId>(twice),
              coca::TensorView<const float>(nullptr, {2, 0, widths_.heads, widths_.key_dim}),
              coca::TensorView<const float>(nullptr, {2, 0, widths_.heads, widths_.value_dim}));
        });
    }
    require(thrown, "a wrong call went through");
    check_tokens(known, list, "after a wrong call");
  }

  static double largest_finite(const std::vector<float>& x) {
    double result = 0.0;
    for (const float value : x) {
      if (std::isfinite(value)) result = std::max(result, std::fabs(static_cast<double>(value)));
    }
    return result;
  }

  template <class Choose>
  static AnyHiding some_mask(Choose& choose) {
    switch (choose.integer(0, 5)) {
      case 1:
        return AnyHiding(coca::Full{});
      case 2:
        return AnyHiding(coca::SlidingWindow{choose.integer(0, 90), 2});
      case 3:
        return AnyHiding(coca::Causal{} & coca::SlidingWindow{choose.integer(0, 200), 0});
      case 4:
        return AnyHiding(coca::Causal{} & (coca::SinkTokens{choose.integer(0, 40)} |
                                           coca::SlidingWindow{choose.integer(0, 90), 0}));
      default:
        return AnyHiding(coca::Causal{});
    }
  }

  /// How wide the queries of a scheme are.
  template <class Scheme>
  Index query_dim(const Scheme& scheme) const {
    return scheme.key_dim(widths_.key_dim) == widths_.key_dim ? widths_.key_dim
                                                              : 2 * widths_.key_dim;
  }

  /// The last tokens of sequences attend: by the cache, as many of each or packed, and by tensors of the
  /// same numbers.
  template <class Choose, class Scheme>
  void decode(const std::vector<SequenceId>& ids, Choose& choose, Random& random,
              const Scheme& scheme) {
    Index queries = choose.integer(1, 20);
    for (const SequenceId id : ids) {
      check_tokens(id, lists_.at(id), "before a decode");
      queries = std::min(queries, lists_.at(id).length());
    }
    const bool packed = choose.integer(0, 3) == 3;
    if (ids.empty() || (queries == 0 && !packed)) return;
    std::vector<Index> starts{0};
    for (const SequenceId id : ids) {
      const Index most = std::min<Index>(lists_.at(id).length(), 20);
      starts.push_back(starts.back() + (packed ? choose.integer(0, most) : queries));
    }
    const Index heads = widths_.heads * widths_.group;
    const Index dim = query_dim(scheme);
    const auto sequences = static_cast<Index>(ids.size());
    Tensor<float> q({1, starts.back(), heads, dim});
    Tensor<float> out({1, starts.back(), heads, widths_.value_dim});
    q.fill([&] { return random.uniform(); });
    const AnyHiding mask = some_mask(choose);
    coca::AttentionOptions options;
    if (choose.integer(0, 3) == 3) options.soft_cap = random.pick(std::array{0.5, 3.0});
    std::vector<float> sinks(static_cast<std::size_t>(heads));
    if (choose.integer(0, 3) == 3) {
      for (float& sink : sinks) sink = 4.0F * static_cast<float>(random.uniform());
      options.sinks = coca::View<const float, 1>(sinks.data(), {heads});
    }
    // Some tokens of one behind the other.
    const auto rows = [&]<class T>(T* first, Index begin, Index count, Index width) {
      return coca::View<T, 3>(first + begin * heads * width, {count, heads, width});
    };
    const auto batch = [&]<class T>(T* first, Index entries, Index count, Index width) {
      return coca::TensorView<T>(first, {entries, count, heads, width});
    };
    if (packed) {
      coca::packed_decode(rows(out.storage().data(), 0, starts.back(), widths_.value_dim),
                          rows(q.storage().data(), 0, starts.back(), dim), starts, cache_,
                          std::span<const SequenceId>(ids), scheme, mask, options);
    } else {
      coca::decode(batch(out.storage().data(), sequences, queries, widths_.value_dim),
                   batch(q.storage().data(), sequences, queries, dim), cache_,
                   std::span<const SequenceId>(ids), scheme, mask, options);
    }
    ++decoded_;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Tokens& list = lists_.at(ids[i]);
      const Index count = starts[i + 1] - starts[i];
      Tensor<float> mine({1, count, heads, dim}), was({1, count, heads, widths_.value_dim}),
          expected(was);
      const auto copy = [&](Tensor<float>& to, Tensor<float>& from, Index width) {
        const auto part = rows(from.storage().data(), starts[i], count, width);
        std::copy_n(part.data, part.size(), to.storage().data());
      };
      copy(mine, q, dim);
      copy(was, out, widths_.value_dim);
      coca::attention(expected.view(), mine.view(), list.k4(), list.v4(), scheme, mask, options);
      // Of phi . psi: every scheme's terms are within those of a pair of keys as long as the query.
      const double q_row = longest_row(mine);
      const double k_max = largest_finite(list.keys);
      const double k_row = k_max * std::sqrt(static_cast<double>(dim));
      const double magnitude =
          std::max(linear_magnitude(q_row, k_row), coca_magnitude(q_row, k_max)) /
          std::sqrt(static_cast<double>(dim));
      const Bounds bounds = attention_bounds<float, float>(
          magnitude, options.soft_cap + 4.0, largest_finite(list.values), dim, list.length(),
          widths_.type == ElementType::int8 ? int8_units(dim) : OperandUnits{});
      const double apart = largest_difference(was, widened(expected));
      require(apart <= 2.0 * bounds.out, "what a cache gives is off what its tokens give by " +
                                             std::to_string(apart) + ", expected " +
                                             std::to_string(2.0 * bounds.out) + " or less");
    }
  }

  Cache& cache_;
  Widths widths_;
  std::map<SequenceId, Tokens> lists_;
  std::string wrong_;
  int decoded_ = 0;
};

}  // namespace test
