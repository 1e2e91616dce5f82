#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "coca/coca.hpp"
#include "support/program_folder.hpp"

/// The command-line program for caches from outside.
namespace {

using namespace test;

constexpr Index kBatch = 2, kTokens = 45, kHeads = 4, kKeyHeads = 2, kDim = 16, kValueDim = 12;

struct Folder : ProgramFolder {
  Tensor<float> q{{kBatch, kTokens, kHeads, kDim}}, t{{kBatch, kTokens, kKeyHeads, kDim / 2}},
      k{{kBatch, kTokens, kKeyHeads, kDim}}, v{{kBatch, kTokens, kKeyHeads, kValueDim}};

  Folder() : ProgramFolder(COCA_DECODE) {
    Random random(5);
    q.fill([&] { return random.uniform(); });
    t.fill([&] { return std::fabs(random.uniform()); });
    k.fill([&] { return random.uniform(); });
    v.fill([&] { return random.uniform(); });
    save("q", q);
    save("t", t);
    save("k", k);
    save("v", v);
  }

  /// Runs decode, and says how far its output is from what is expected.
  double decoded_apart(const std::string& arguments, const Tensor<float>& expected) const {
    const auto result = run(arguments + " v.npy -o out.npy");
    INFO(arguments << ": " << result.text);
    REQUIRE(result.code == 0);
    return apart("out", expected.storage());
  }
};

/// Attention without a cache, causal.
template <class S, class M = coca::Causal>
Tensor<float> attended(const Tensor<float>& q, const Tensor<float>& key, const Tensor<float>& v,
                       const S& scheme, const M& mask = {}) {
  const auto& shape = q.view().shape;
  Tensor<float> out({shape[0], shape[1], shape[2], v.view().shape[3]});
  coca::attention(out.view(), q.view(), key.view(), v.view(), scheme, mask);
  return out;
}

/// Some tokens of a tensor.
Tensor<float> gathered(const Tensor<float>& x, const std::vector<Index>& tokens) {
  const auto from = x.view();
  Tensor<float> result(
      {from.shape[0], static_cast<Index>(tokens.size()), from.shape[2], from.shape[3]});
  const auto to = result.view();
  Tensor<float>::for_each(to.shape, [&](Index b, Index n, Index h, Index i) {
    to(b, n, h, i) = from(b, tokens[static_cast<std::size_t>(n)], h, i);
  });
  return result;
}

/// The numbers that a cache of a narrower type holds.
template <class T>
Tensor<float> rounded(Tensor<float> x) {
  for (float& value : x.storage()) value = static_cast<float>(static_cast<T>(value));
  return x;
}
Tensor<float> rounded_to_int8(Tensor<float> x) {
  const auto width = x.view().shape[3];
  for (auto row = x.storage().begin(); row < x.storage().begin() + x.view().size(); row += width) {
    const auto smaller = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
    const float scale = std::fabs(*std::max_element(row, row + width, smaller)) / 127.0F;
    std::for_each(row, row + width, [&](float& value) {
      value = scale * static_cast<float>(std::lround(value / scale));
    });
  }
  return x;
}

/// How far two computations in float may be apart, both within the bound of a kernel. Scores of q
/// and k are at most |q||k| / sqrt(dim), those of CoCA 2 max(t)|q|^2 / sqrt(dim).
double bound(const Folder& folder) {
  const double q_row = longest_row(folder.q);
  const double magnitude = std::max(linear_magnitude(q_row, longest_row(folder.k)),
                                    coca_magnitude(q_row, largest(folder.t))) /
                           std::sqrt(static_cast<double>(kDim));
  return 2.0 * attention_bounds<float, float>(magnitude, 0.0, largest(folder.v), kDim, kTokens).out;
}

}  // namespace

TEST_CASE("decode computes what attention without a cache does", "[decode]") {
  const Folder folder;
  const coca::Rope rope({.dim = kDim, .base = 500.0});
  const double allowed = bound(folder);
  const Tensor<float> slack = attended(folder.q, folder.t, folder.v, coca::CocaSlack{rope});

  SECTION("every scheme") {
    const auto check = [&](const std::string& arguments, const Tensor<float>& key,
                           const auto& scheme) {
      const Tensor<float> expected = attended(folder.q, key, folder.v, scheme);
      CHECK(folder.decoded_apart("--base 500 --prefill 20 " + arguments, expected) <= allowed);
    };
    check("--scheme dot q.npy k.npy", folder.k, coca::Dot{});
    check("--scheme rotary q.npy k.npy", folder.k, coca::Rotary{rope});
    check("--scheme coca-strict q.npy t.npy", folder.t, coca::CocaStrict{rope});
    check("--scheme coca-constrained q.npy t.npy", folder.t, coca::CocaConstrained{rope});
    check("--key-form x q.npy k.npy", folder.k, coca::CocaSlack{rope, coca::RawProjection{}});
  }
  SECTION("any prefill, pages and threads") {
    for (const std::string flags :
         {"", "--prefill 45", "--prefill 1 --threads 2", "--cache paged --prefill 17",
          "--cache paged --page-tokens 16 --prefill 33 --threads 2",
          "--cache rolling --prefill 32 --sinks 2 --window 60"}) {
      CHECK(folder.decoded_apart("--base 500 " + flags + " q.npy t.npy", slack) <= allowed);
    }
  }
  SECTION("narrower types hold rounded numbers") {
    const auto check = [&](const std::string& type, const Tensor<float>& t,
                           const Tensor<float>& v) {
      const Tensor<float> expected = attended(folder.q, t, v, coca::CocaSlack{rope});
      CHECK(folder.decoded_apart("--base 500 --prefill 9 --type " + type + " q.npy t.npy",
                                 expected) <= allowed);
    };
    check("bfloat16", rounded<Eigen::bfloat16>(folder.t), rounded<Eigen::bfloat16>(folder.v));
    check("float16", rounded<Eigen::half>(folder.t), rounded<Eigen::half>(folder.v));
    check("int8", rounded_to_int8(folder.t), rounded_to_int8(folder.v));
  }
}

TEST_CASE("decode lets a dynamic rope follow the length, step by step", "[decode]") {
  const Folder folder;
  // Each row is that of attention with the rope of its own length.
  Tensor<float> expected({kBatch, kTokens, kHeads, kValueDim});
  for (Index n = 0; n < kTokens; ++n) {
    const coca::Rope rope(
        {.dim = kDim, .scaling = coca::DynamicNtk{4.0, 10}, .length = std::max<Index>(n + 1, 20)});
    const Tensor<float> all = attended(folder.q, folder.t, folder.v, coca::CocaSlack{rope});
    const auto from = all.view();
    const auto to = expected.view();
    for (Index b = 0; b < kBatch; ++b) {
      for (Index h = 0; h < kHeads; ++h) {
        for (Index i = 0; i < kValueDim; ++i) to(b, n, h, i) = from(b, n, h, i);
      }
    }
  }
  CHECK(folder.decoded_apart("q.npy t.npy --prefill 20 --rope-scaling dynamic --scaling-factor 4 "
                             "--trained-length 10",
                             expected) <= 1e-5);
}

TEST_CASE("decode takes positions of several axes, CLEX and a ceiling", "[decode]") {
  const Folder folder;
  Random random(12);
  const coca::Rope rope({.dim = kDim});
  // Those of a prompt: what comes behind goes on from the largest.
  std::vector<coca::Position> ids(3 * kBatch * 20);
  for (coca::Position& id : ids) id = random.integer(0, 30);
  folder.save_raw("ids", "<i8", "3, 2, 20", ids);
  const coca::MultiRope places(rope, coca::axes_by_section(std::array<Index, 3>{2, 3, 3}),
                               {ids.data(), {3, kBatch, 20}});
  CHECK(folder.decoded_apart("q.npy t.npy --prefill 20 --mrope-ids ids.npy --mrope-sections 2,3,3",
                             attended(folder.q, folder.t, folder.v, coca::CocaSlack{places})) <=
        bound(folder));

  CHECK(folder.decoded_apart("q.npy t.npy --prefill 20 --scheme coca-strict --distance-ceiling 12",
                             attended(folder.q, folder.t, folder.v,
                                      coca::DistanceCeiling{coca::CocaStrict{rope}, 12})) <=
        bound(folder));

  std::vector<double> up(8 * 4), down(4 * 8);
  for (auto* weights : {&up, &down}) {
    for (double& weight : *weights) weight = 0.1 * random.uniform();
  }
  folder.save_raw("up", "<f8", "8, 4", up);
  folder.save_raw("down", "<f8", "4, 8", down);
  // In one call, of all tokens: the frequencies are those of five trained lengths.
  const coca::Clex clex{.up = up, .down = down, .trained_length = 9};
  const coca::Rope longer({.dim = kDim, .scaling = clex, .length = kTokens});
  CHECK(folder.decoded_apart("q.npy t.npy --prefill 45 --rope-scaling clex --trained-length 9 "
                             "--clex-up up.npy --clex-down down.npy",
                             attended(folder.q, folder.t, folder.v, coca::CocaSlack{longer})) <=
        bound(folder));
}

TEST_CASE("decode takes masks, which hide more than what comes behind", "[decode]") {
  const Folder folder;
  const coca::Rope rope({.dim = kDim});
  Random random(13);
  std::vector<coca::Position> documents(kTokens);
  for (std::size_t n = 1; n < documents.size(); ++n) {
    documents[n] = documents[n - 1] + (random.integer(0, 9) == 0 ? 1 : 0);
  }
  folder.save_raw("documents", "<i8", "1, 45", documents);
  const std::vector<coca::BlockSparse::Block> blocks{{0, 0}, {1, 1}, {2, 0}, {2, 2}};
  folder.save_raw("blocks", "<i8", "4, 2", std::vector<coca::Position>{0, 0, 1, 1, 2, 0, 2, 2});
  const auto check = [&](const std::string& flags, const auto& mask) {
    const Tensor<float> expected =
        attended(folder.q, folder.t, folder.v, coca::CocaSlack{rope}, coca::Causal{} & mask);
    for (const std::string cache : {"growing", "paged"}) {
      CHECK(folder.decoded_apart("q.npy t.npy --prefill 20 --cache " + cache + " " + flags,
                                 expected) <= bound(folder));
    }
  };
  check("--mask causal,window --window-left 7", coca::SlidingWindow{7, 0});
  check("--mask window --window-left 7 --dilation 3", coca::DilatedWindow{7, 0, 3});
  check("--any-mask sinks,window --sink-tokens 3 --window-left 6",
        coca::SinkTokens{3} | coca::SlidingWindow{6, 0});
  check("--any-mask window,global --window-left 4 --global-tokens 5,30",
        coca::SlidingWindow{4, 0} | coca::GlobalTokens({5, 30}));
  check("--mask documents --documents documents.npy",
        coca::Documents(coca::View<const coca::Position, 2>(documents.data(), {1, kTokens})));
  check("--mask blocks --block-size 16 --blocks blocks.npy", coca::BlockSparse(16, blocks));
  check("--alibi", coca::Alibi(kHeads));
  // LM-Infinite, whose score must be a function of the distance.
  CHECK(
      folder.decoded_apart(
          "q.npy t.npy --prefill 20 --scheme coca-strict --distance-ceiling 12 --any-mask "
          "sinks,window --sink-tokens 3 --window-left 11",
          attended(folder.q, folder.t, folder.v, coca::DistanceCeiling{coca::CocaStrict{rope}, 12},
                   coca::Causal{} & (coca::SinkTokens{3} | coca::SlidingWindow{11, 0}))) <=
      bound(folder));
}

TEST_CASE("decode with a rolling cache attends to the first tokens and the last", "[decode]") {
  const Folder folder;
  constexpr Index sinks = 3, window = 10;
  Tensor<float> expected({kBatch, kTokens, kHeads, kValueDim});
  for (Index token = 0; token < kTokens; ++token) {
    std::vector<Index> held;
    for (Index n = 0; n <= token; ++n) {
      if (n < sinks || n > token - window) held.push_back(n);
    }
    const Tensor<float> row =
        attended(gathered(folder.q, {token}), gathered(folder.k, held), gathered(folder.v, held),
                 coca::Rotary{coca::Rope({.dim = kDim})});
    const auto to = expected.view();
    const auto from = row.view();
    Tensor<float>::for_each(from.shape, [&](Index b, Index, Index h, Index i) {
      to(b, token, h, i) = from(b, 0, h, i);
    });
  }
  CHECK(folder.decoded_apart(
            "--scheme rotary --cache rolling --sinks 3 --window 10 --prefill 13 q.npy k.npy",
            expected) <= bound(folder));
}

TEST_CASE("decode explains itself and its refusals", "[decode]") {
  const Folder folder;
  folder.save("short", gathered(folder.t, {0, 1, 2}));
  const auto refused = [&](const std::string& arguments, int code, const std::string& text) {
    INFO(arguments);
    const auto result = folder.run(arguments + " -o out.npy");
    CHECK(result.code == code);
    CHECK_THAT(result.text, contains(text));
    CHECK_FALSE(folder.exists("out"));
  };
  CHECK(folder.run("--help").code == 0);
  CHECK_THAT(folder.run("--help").text, contains("--page-tokens"));
  CHECK(folder.run("--version").code == 0);

  refused("q.npy k.npy v.npy", 1, "k.shape[3] (width of the key operand) is 16, expected 8");
  refused("q.npy short.npy v.npy", 1, "k.shape[1] (tokens) is 3, expected 45");
  refused("q.npy t.npy short.npy", 1, "v.shape[1] (tokens) is 3, expected 45");
  refused("q.npy t.npy v.npy --prefill 46", 1, "prefill is 46, expected from 0 to 45");
  refused("q.npy t.npy v.npy --prefill -1", 1, "prefill is -1");
  refused("q.npy t.npy v.npy --cache rolling --window 9 --prefill 14", 1,
          "prefill is 14, expected from 0 to 13");
  refused("q.npy t.npy v.npy --cache rolling --window 0", 1, "rolling.window is 0");
  refused("q.npy t.npy v.npy --cache paged --page-tokens 7", 1, "pages.page_tokens is 7");
  refused("q.npy t.npy v.npy --type float64", 1,
          "k is not double, expected double, as the cache is");

  refused("q.npy t.npy", 2, "v is required");
  refused("q.npy t.npy v.npy --cache nope", 2, "nope not in");
  refused("q.npy t.npy v.npy --page-tokens 32", 2, "--page-tokens: goes with --cache paged");
  refused("q.npy t.npy v.npy --cache paged --window 9", 2, "--window: goes with --cache rolling");
  refused("q.npy t.npy v.npy --cache rolling --mrope-ids ids.npy --mrope-sections 8", 2,
          "--mrope-ids: goes with a cache whose tokens stay where they are");
  refused("q.npy t.npy v.npy --cache rolling --mask window --window-left 3", 2,
          "--mask: goes with a cache whose tokens stay where they are");
  refused("q.npy t.npy v.npy --mask sinks", 2, "needs --sink-tokens");
  refused("q.npy t.npy v.npy --distance-ceiling 7", 1,
          "scheme is one whose score is no function of the distance m - n");
  refused("q.npy missing.npy v.npy", 3, "missing.npy cannot be opened");
}
