#include <algorithm>
#include <vector>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/tokens.hpp"

/// What must not change a bit of decoding.
namespace {

using namespace test;
using coca::ElementType;
using coca::SequenceId;

constexpr Index kHeads = 3;
constexpr Index kGroup = 3;
constexpr Index kDim = 16;
constexpr Index kValueDim = 20;
constexpr Index kQueries = 2;
constexpr Index kRow = kQueries * kHeads * kGroup;  ///< rows of queries of a sequence

/// Every kind of key that turns, one that does not, and one that is mapped key by key.
template <class Visit>
void for_each_kind(const coca::Rope& rope, const Visit& visit) {
  visit("dot", coca::Dot{}, kDim);
  visit("rotary", coca::Rotary{rope}, kDim);
  visit("strict", coca::CocaStrict{rope}, kDim / 2);
  visit("slack", coca::CocaSlack{rope}, kDim / 2);
  visit("any", AnyScheme(coca::CocaConstrained{rope, coca::RawProjection{}}), kDim);
}

}  // namespace

TEST_CASE("decode: the same bits on any number of threads, for any pages, beside any sequences",
          "[decode]") {
  Random random(2);
  Eigen::ThreadPool pool(4);
  const std::vector<Index> lengths{kEmulated ? 1200 : 2500, 17, 1030};
  Tensor<float> q({3, kQueries, kHeads * kGroup, kDim});
  q.fill([&] { return random.uniform(); });
  for_each_kind(coca::Rope({.dim = kDim}), [&](const char* name, const auto& scheme,
                                               Index key_dim) {
    std::vector<Tokens> tokens;
    for (const Index length : lengths) {
      tokens.push_back(Tokens{kHeads, key_dim, kValueDim}.add(length, random));
    }
    for (const ElementType type :
         {ElementType::float32, ElementType::bfloat16, ElementType::float16, ElementType::int8}) {
      INFO(name << ", type " << static_cast<int>(type));
      const auto decode = [&](Index page, int threads, const std::vector<std::size_t>& which) {
        coca::PagedCache cache({kHeads, key_dim, kValueDim, type}, {.page_tokens = page});
        const auto count = static_cast<Index>(which.size());
        std::vector<SequenceId> ids;
        Tensor<float> own_q({count, kQueries, kHeads * kGroup, kDim});
        Tensor<float> out({count, kQueries, kHeads * kGroup, kValueDim});
        for (std::size_t i = 0; i < which.size(); ++i) {
          ids.push_back(cache.add());
          cache.append(ids.back(), tokens[which[i]].k(), tokens[which[i]].v());
          std::copy_n(q.storage().begin() + static_cast<Index>(which[i]) * kRow * kDim, kRow * kDim,
                      own_q.storage().begin() + static_cast<Index>(i) * kRow * kDim);
        }
        coca::decode(out.view(), own_q.view(), cache, ids, scheme, coca::Causal{}, {},
                     Eigen::ThreadPoolDevice(&pool, threads));
        return out.storage();
      };
      const std::vector<float> expected = decode(16, 1, {0, 1, 2});
      CHECK(decode(16, 2, {0, 1, 2}) == expected);
      CHECK(decode(48, 3, {0, 1, 2}) == expected);
      CHECK(decode(256, 4, {0, 1, 2}) == expected);
      const std::vector<float> alone = decode(64, 2, {2});
      CHECK(std::equal(alone.begin(), alone.end(), expected.begin() + 2 * kRow * kValueDim));
    }
  });
}
