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

template <class Cache>
void use(Cache& cache, const typename test::CacheUse<Cache>::Widths& widths, Choices& choose,
         test::Random& random, bool rotary) {
  test::CacheUse<Cache> all(cache, widths);
  const coca::Rope rope({.dim = rotary ? widths.key_dim : 2 * widths.key_dim, .base = 50.0});
  for (int step = 0; step < 60 && choose.bytes.remaining_bytes() > 0; ++step) {
    if (rotary) {
      all.step(choose, random, coca::Rotary{rope});
    } else {
      all.step(choose, random, coca::CocaSlack{rope});
    }
  }
  all.end();
  if (all.wrong().empty()) return;
  std::fprintf(stderr, "fuzz: %s\n", all.wrong().c_str());
  std::abort();
}

void one(Choices& choose) {
  test::Random random(choose.values());
  const bool rotary = choose.one_in(2);
  const auto type = choose.pick(std::array{coca::ElementType::float32, coca::ElementType::bfloat16,
                                           coca::ElementType::float16, coca::ElementType::int8});
  const coca::CacheOptions options{.key_heads = choose.integer(1, 2),
                                   .key_dim = (rotary ? 2 : 1) * choose.integer(1, 9),
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
               choose, random, rotary);
  }
  coca::PagedCache paged(
      options, {.page_tokens = 16 * choose.integer(1, 3), .pages = choose.integer(0, 12)});
  coca::GrowingCache growing(options);
  use<coca::PagedCache>(kind == 0 ? paged : growing,
                        {options.key_heads, options.key_dim, options.value_dim, group, type},
                        choose, random, rotary);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choose(data, size);
  one(choose);
  return 0;
}
