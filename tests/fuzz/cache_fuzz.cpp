#include <cstdio>
#include <cstdlib>

#include "coca/coca.hpp"
#include "fuzz/operand.hpp"
#include "support/cache_use.hpp"

/// Caches under any use: they hold what was appended, decode to what the same tokens give as tensors,
/// and calls that are wrong throw and change nothing.
namespace {

using fuzz::Choices;
using fuzz::Index;

/// Those whose keys are turned where they are read have kernels of their own, as Dot has; of the others
/// psi is taken.
using OtherScheme =
    coca::OneOf<coca::CocaStrict<>, coca::CocaConstrained<>, coca::CocaStrict<coca::RawProjection>,
                coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<coca::RawProjection>>;

/// `whole`: keys are as wide as queries, else half as wide.
OtherScheme other_scheme(const coca::Rope& rope, bool whole, unsigned number) {
  constexpr coca::RawProjection raw;
  if (!whole && number % 2 == 0) return coca::CocaStrict{rope};
  if (!whole) return coca::CocaConstrained{rope};
  if (number % 3 == 0) return coca::CocaStrict{rope, raw};
  if (number % 3 == 1) return coca::CocaSlack{rope, raw};
  return coca::CocaConstrained{rope, raw};
}

template <class Cache>
void use(Cache& cache, const typename test::CacheUse<Cache>::Widths& widths, Choices& choose,
         test::Random& random, bool whole) {
  test::CacheUse<Cache> all(cache, widths);
  const coca::Rope rope({.dim = whole ? widths.key_dim : 2 * widths.key_dim, .base = 50.0});
  const auto steps = [&](const auto& scheme) {
    for (int step = 0; step < 60 && choose.bytes.remaining_bytes() > 0; ++step) {
      all.step(choose, random, scheme);
    }
  };
  switch (choose.seed % 4) {
    case 0:
    case 1:
      whole ? steps(coca::Rotary{rope}) : steps(coca::CocaSlack{rope});
      break;
    case 2:
      steps(other_scheme(rope, whole, choose.seed / 4U));
      break;
    default:
      whole ? steps(coca::Dot{}) : steps(other_scheme(rope, whole, choose.seed / 4U));
  }
  all.end();
  if (all.wrong().empty()) return;
  std::fprintf(stderr, "fuzz: %s\n", all.wrong().c_str());
  std::abort();
}

void one(Choices& choose) {
  test::Random random(choose.values());
  const bool whole = choose.one_in(2);
  const auto type = choose.pick(std::array{coca::ElementType::float32, coca::ElementType::bfloat16,
                                           coca::ElementType::float16, coca::ElementType::int8});
  const coca::CacheOptions options{.key_heads = choose.integer(1, 2),
                                   .key_dim = (whole ? 2 : 1) * choose.integer(1, 9),
                                   .value_dim = choose.integer(1, 35),
                                   .type = type};
  const Index group = choose.integer(1, 4);
  const Index kind = choose.integer(0, 2);
  if (kind == 2) {
    const coca::RollingOptions rolling{.sinks = choose.integer(0, 40),
                                       .window = choose.integer(1, 100)};
    coca::RollingCache cache(options, rolling);
    return use(cache,
               {options.key_heads, options.key_dim, options.value_dim, group, type, rolling.sinks,
                rolling.window},
               choose, random, whole);
  }
  coca::PagedCache paged(
      options, {.page_tokens = 16 * choose.integer(1, 3), .pages = choose.integer(0, 12)});
  coca::GrowingCache growing(options);
  use<coca::PagedCache>(kind == 0 ? paged : growing,
                        {options.key_heads, options.key_dim, options.value_dim, group, type},
                        choose, random, whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choose(data, size);
  one(choose);
  return 0;
}
