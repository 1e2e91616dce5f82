#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "coca/coca.hpp"
#include "support/effort.hpp"
#include "support/program_folder.hpp"

/// The command-line program from outside: files in, files out, exit codes and messages.
namespace {

using namespace test;
namespace fs = std::filesystem;

/// The program's mask has a bias, of 0, and so takes the scores through natural units: results are
/// the same up to a few ulp of numbers below 4.
constexpr double kRounding = 16.0 * std::numeric_limits<float>::epsilon();

/// A folder of its own, with operands in it.
struct Folder : ProgramFolder {
  Tensor<float> q{{2, 20, 4, 16}}, t{{2, 30, 2, 8}}, k{{2, 30, 2, 16}}, v{{2, 30, 2, 12}};

  Folder() : ProgramFolder(COCA_ATTEND) {
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
  Result attend(const std::string& arguments) const { return run(arguments); }

  /// The data of a C-order file, which must be of this type and shape by the words of its header.
  template <class T>
  std::vector<T> load_raw(const std::string& name, const std::string& descr,
                          const std::string& shape) const {
    std::ifstream stream(file(name), std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
    REQUIRE(all.size() > 10);
    const std::size_t start = 10 + static_cast<unsigned char>(all[8]) +
                              256 * static_cast<std::size_t>(static_cast<unsigned char>(all[9]));
    CHECK_THAT(all.substr(0, start), contains("'" + descr + "'") && contains("(" + shape + ")"));
    std::vector<T> values((all.size() - start) / sizeof(T));
    std::memcpy(values.data(), all.data() + start, values.size() * sizeof(T));
    return values;
  }
};

}  // namespace

TEST_CASE("attend computes what the library computes", "[attend]") {
  const Folder folder;
  const coca::Rope rope({.dim = 16, .base = 500.0, .layout = coca::RopeLayout::interleaved});
  Tensor<float> out({2, 20, 4, 12});
  std::vector<float> lse(2 * 4 * 20);
  coca::AttentionOptions options{.lse = coca::View<float, 3>(lse.data(), {2, 4, 20})};

  SECTION("every form, with a mask and the log-sum-exp") {
    const auto check = [&](const std::string& flags, const Tensor<float>& key, const auto& scheme) {
      INFO(flags);
      coca::attention(out.view(), folder.q.view(), key.view(), folder.v.view(), scheme,
                      coca::Causal{}, options);
      const auto result = folder.attend(
          flags + " v.npy -o out.npy --lse lse.npy --mask causal --layout interleaved --base 500");
      INFO(result.text);
      REQUIRE(result.code == 0);
      CHECK(folder.apart("out", out.storage()) <= kRounding);
      CHECK(folder.apart("lse", lse) <= kRounding);
    };
    check("--scheme dot q.npy k.npy", folder.k, coca::Dot{});
    check("--scheme rotary q.npy k.npy", folder.k, coca::Rotary{rope});
    check("--scheme coca-strict q.npy t.npy", folder.t, coca::CocaStrict{rope});
    check("q.npy t.npy", folder.t, coca::CocaSlack{rope});
    check("--scheme coca-constrained q.npy t.npy", folder.t, coca::CocaConstrained{rope});
    const coca::RawProjection x;
    check("--scheme coca-slack --key-form x q.npy k.npy", folder.k, coca::CocaSlack{rope, x});
    check("--scheme coca-strict --key-form x q.npy k.npy", folder.k, coca::CocaStrict{rope, x});
  }
  SECTION("masks, options and threads") {
    options.scale = 0.5;
    options.soft_cap = 2.0;
    options.first_query = 4;
    coca::attention(out.view(), folder.q.view(), folder.k.view(), folder.v.view(), coca::Dot{},
                    coca::Causal{1} & coca::SlidingWindow(7, 3) & coca::PrefixLm(9), options);
    const auto result = folder.attend(
        "--scheme dot q.npy k.npy v.npy -o out.npy --mask causal,window,prefix-lm --causal-offset "
        "1 "
        "--window-left 7 --window-right 3 --prefix 9 --scale 0.5 --soft-cap 2 --first-query 4 "
        "--threads 2");
    INFO(result.text);
    REQUIRE(result.code == 0);
    CHECK(folder.apart("out", out.storage()) <= kRounding);
  }
  SECTION("a bias, sinks") {
    Tensor<float> bias({1, 4, 20, 30});
    Random random(6);
    bias.fill([&] { return random.uniform(); });
    folder.save("bias", bias);
    const std::vector<float> sinks{0.5F, -1.0F, 0.0F, 2.0F};
    write_npy(folder.file("sinks"), {4}, sinks);
    options.sinks = coca::View<const float, 1>(sinks.data(), {4});
    coca::attention(out.view(), folder.q.view(), folder.k.view(), folder.v.view(), coca::Dot{},
                    coca::AdditiveBias(bias.view()), options);
    REQUIRE(
        folder.attend("--scheme dot q.npy k.npy v.npy -o out.npy --bias bias.npy --sinks sinks.npy")
            .code == 0);
    CHECK(folder.apart("out", out.storage()) <= kRounding);
  }
}

TEMPLATE_TEST_CASE("attend reads and writes every type", "[attend]", float, double, Eigen::half) {
  const Folder folder;
  const std::string descr = std::is_same_v<TestType, double>  ? "<f8"
                            : std::is_same_v<TestType, float> ? "<f4"
                                                              : "<f2";
  using Real = coca::Accumulator<TestType>;
  Random random(8);
  Tensor<TestType> q({2, 9, 4, 8}), t({2, 11, 2, 4}), v({2, 11, 2, 6}), out({2, 9, 4, 6});
  q.fill([&] { return random.uniform(); });
  t.fill([&] { return std::fabs(random.uniform()); });
  v.fill([&] { return random.uniform(); });
  folder.save_raw("q", descr, "2, 9, 4, 8", q.storage());
  folder.save_raw("t", descr, "2, 11, 2, 4", t.storage());
  folder.save_raw("v", descr, "2, 11, 2, 6", v.storage());
  std::vector<Real> lse(2 * 4 * 9);
  coca::attention(out.view(), q.view(), t.view(), v.view(), coca::CocaSlack{coca::Rope({.dim = 8})},
                  coca::Causal{}, {.lse = coca::View<Real, 3>(lse.data(), {2, 4, 9})});

  const auto result = folder.attend("q.npy t.npy v.npy -o out.npy --lse lse.npy --mask causal");
  INFO(result.text);
  REQUIRE(result.code == 0);
  const auto got = folder.load_raw<TestType>("out", descr, "2, 9, 4, 6");
  const auto got_lse =
      folder.load_raw<Real>("lse", std::is_same_v<Real, double> ? "<f8" : "<f4", "2, 4, 9");
  REQUIRE(got.size() == out.storage().size());
  REQUIRE(got_lse.size() == lse.size());
  // A half beside another when the sums round to different sides of it: one step below 1.
  const double rounding =
      std::is_same_v<TestType, Eigen::half>
          ? 0x1p-11
          : 16.0 * static_cast<double>(std::numeric_limits<TestType>::epsilon());
  double most = 0.0, most_lse = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    most = worse(most, static_cast<double>(got[i]), static_cast<double>(out.storage()[i]));
  }
  for (std::size_t i = 0; i < lse.size(); ++i) {
    most_lse = worse(most_lse, static_cast<double>(got_lse[i]), static_cast<double>(lse[i]));
  }
  CHECK(most <= rounding);
  CHECK(most_lse <= 16.0 * static_cast<double>(std::numeric_limits<Real>::epsilon()));
}

TEST_CASE("attend takes matrices, Fortran order and a boolean mask", "[attend]") {
  const Folder folder;
  constexpr Index queries = 7, keys = 10, dim = 8;
  Random random(9);
  const auto matrix = [&](Index rows) {
    Eigen::MatrixXf x(rows, dim);  // column-major: Fortran order
    for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(random.uniform());
    return x;
  };
  const Eigen::MatrixXf q = matrix(queries), k = matrix(keys), v = matrix(keys);
  const auto save = [&](const std::string& name, const Eigen::MatrixXf& x) {
    folder.write_raw(name, "<f4", std::to_string(x.rows()) + ", " + std::to_string(x.cols()),
                     x.data(), static_cast<std::size_t>(x.size()) * sizeof(float), true);
  };
  save("q", q);
  save("k", k);
  save("v", v);
  Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> allowed(queries, keys);
  for (Index i = 0; i < allowed.size(); ++i) allowed.data()[i] = random.uniform() > -0.3;
  allowed.row(3).setConstant(false);
  folder.write_raw("allowed", "|b1", "7, 10", allowed.data(),
                   static_cast<std::size_t>(allowed.size()), true);
  Eigen::MatrixXf out(queries, dim);
  coca::attention(out, q, k, v, coca::Dot{}, coca::BooleanMask(allowed));

  const auto result = folder.attend(
      "--scheme dot q.npy k.npy v.npy -o out.npy --lse lse.npy --bool-mask allowed.npy");
  INFO(result.text);
  REQUIRE(result.code == 0);
  const auto got = folder.load_raw<float>("out", "<f4", "7, 8");
  const auto lse = folder.load_raw<float>("lse", "<f4", "1, 1, 7");
  REQUIRE(got.size() == static_cast<std::size_t>(out.size()));
  double most = 0.0;
  for (Index m = 0; m < queries; ++m) {
    for (Index i = 0; i < dim; ++i) {
      const auto value = static_cast<double>(got[static_cast<std::size_t>(m * dim + i)]);
      most = worse(most, value, static_cast<double>(out(m, i)));
      if (m == 3) CHECK(value == 0.0);
    }
  }
  CHECK(most <= kRounding);
  CHECK(lse[3] == -std::numeric_limits<float>::infinity());
}

TEST_CASE("attend takes the patterns and scalings of long contexts", "[attend]") {
  const Folder folder;
  Tensor<float> out({2, 20, 4, 12});
  const auto check = [&](const std::string& flags, const auto& scheme, const auto& mask) {
    INFO(flags);
    coca::attention(out.view(), folder.q.view(), folder.k.view(), folder.v.view(), scheme, mask);
    const auto result = folder.attend("q.npy k.npy v.npy -o out.npy " + flags);
    INFO(result.text);
    REQUIRE(result.code == 0);
    CHECK(folder.apart("out", out.storage()) <= kRounding);
  };
  const auto masks = [&](const std::string& flags, const auto& mask) {
    check("--scheme dot " + flags, coca::Dot{}, mask);
  };
  const coca::Causal causal;
  masks("--mask causal --any-mask sinks,window --sink-tokens 3 --window-left 6 --window-right 0",
        causal & (coca::SinkTokens{3} | coca::SlidingWindow{6, 0}));
  masks("--mask window --window-left 2 --window-right 1 --dilation 4",
        coca::DilatedWindow{2, 1, 4});
  masks("--any-mask global,window --global-tokens 0,17 --window-left 3 --window-right 3",
        coca::GlobalTokens({0, 17}) | coca::SlidingWindow{3, 3});
  masks("--mask causal --alibi", causal & coca::Alibi(4));
  std::vector<coca::Position> documents(30, 4);
  std::fill_n(documents.begin(), 13, 2);
  folder.save_raw("documents", "<i8", "1, 30", documents);
  masks("--mask causal,documents --documents documents.npy",
        causal & coca::Documents({documents.data(), {1, 30}}));
  folder.save_raw("blocks", "<i8", "3, 2", std::vector<coca::Position>{1, 1, 2, 0, 3, 3});
  masks("--mask blocks --block-size 8 --blocks blocks.npy",
        coca::BlockSparse(8, {{1, 1}, {2, 0}, {3, 3}}));

  const auto ropes = [&](const std::string& flags, coca::RopeScaling scaling) {
    const coca::Rope rope({.dim = 16, .scaling = std::move(scaling), .length = 30});
    check("--scheme rotary " + flags, coca::Rotary{rope}, coca::Full{});
  };
  ropes("--rope-scaling linear --scaling-factor 4", coca::Linear{4.0});
  ropes("--rope-scaling ntk --scaling-factor 4", coca::NtkAware{4.0});
  ropes("--rope-scaling dynamic --scaling-factor 2 --trained-length 10", coca::DynamicNtk{2.0, 10});
  ropes("--rope-scaling yarn --scaling-factor 4 --trained-length 100",
        coca::Yarn{.factor = 4.0, .trained_length = 100});
  ropes("--rope-scaling llama3 --scaling-factor 4 --trained-length 100",
        coca::Llama3{.factor = 4.0, .trained_length = 100});
  std::ofstream(folder.path / "config.json") <<
      R"({"head_dim": 16, "rope_theta": 10000.0, "max_position_embeddings": 10,
          "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})";
  ropes("--rope-config config.json", coca::DynamicNtk{2.0, 10});
  check("--scheme rotary --xpos --mask causal", coca::XPos{coca::Rotary{coca::Rope({.dim = 16})}},
        causal);
  const auto lambda = causal & (coca::SinkTokens{2} | coca::SlidingWindow{9, 0});
  check(
      "--scheme rotary --distance-ceiling 10 --mask causal --any-mask sinks,window "
      "--sink-tokens 2 --window-left 9",
      coca::DistanceCeiling{coca::Rotary{coca::Rope({.dim = 16})}, 10}, lambda);

  Random random(10);
  std::vector<double> up(8 * 4), down(4 * 8);
  for (auto* weights : {&up, &down}) {
    for (double& weight : *weights) weight = 0.1 * random.uniform();
  }
  folder.save_raw("up", "<f8", "8, 4", up);
  folder.save_raw("down", "<f8", "4, 8", down);
  ropes(
      "--rope-scaling clex --clex-up up.npy --clex-down down.npy --trained-length 9 "
      "--clex-max-factor 3",
      coca::Clex{.up = up, .down = down, .trained_length = 9, .max_factor = 3});
  REQUIRE(folder
              .attend("q.npy k.npy v.npy -o four.npy --scheme rotary --rope-scaling clex --clex-up "
                      "up.npy --clex-down down.npy --trained-length 9")
              .code == 0);
  CHECK(read_npy(folder.file("four")).values != read_npy(folder.file("out")).values);
}

TEST_CASE("attend takes positions of several axes", "[attend]") {
  const Folder folder;
  Random random(11);
  std::vector<coca::Position> ids(3 * 2 * 30);
  for (coca::Position& id : ids) id = random.integer(0, 90);
  folder.save_raw("each", "<i8", "3, 2, 30", ids);
  folder.save_raw("all", "<i8", "3, 30", std::vector(ids.begin(), ids.begin() + 90));
  folder.save_raw("three", "<i8", "3, 3, 20", ids);
  const std::array<Index, 3> sections{2, 3, 3};
  const coca::Rope rope({.dim = 16});
  Tensor<float> out({2, 20, 4, 12});
  const auto check = [&](const std::string& flags, const coca::MultiRope& places) {
    INFO(flags);
    coca::attention(out.view(), folder.q.view(), folder.t.view(), folder.v.view(),
                    coca::CocaSlack{places}, coca::Causal{});
    const auto result =
        folder.attend("q.npy t.npy v.npy -o out.npy --mask causal --mrope-sections 2,3,3 " + flags);
    INFO(result.text);
    REQUIRE(result.code == 0);
    CHECK(folder.apart("out", out.storage()) <= kRounding);
  };
  check("--mrope-ids each.npy", {rope, coca::axes_by_section(sections), {ids.data(), {3, 2, 30}}});
  check("--mrope-ids all.npy", {rope, coca::axes_by_section(sections), {ids.data(), {3, 1, 30}}});
  check("--mrope-ids each.npy --mrope-in-turn",
        {rope, coca::axes_in_turn(sections), {ids.data(), {3, 2, 30}}});

  const auto refused = [&](const std::string& arguments, int code, const std::string& text) {
    const auto result = folder.attend("q.npy t.npy v.npy -o refused.npy " + arguments);
    CHECK(result.code == code);
    CHECK_THAT(result.text, contains(text));
    CHECK_FALSE(folder.exists("refused"));
  };
  refused("--mrope-ids three.npy --mrope-sections 2,3,3", 1,
          "rope.ids.shape[1] (batch) is 3, expected 2 or 1");
  refused("--mrope-ids each.npy --mrope-sections 2,3", 1,
          "axes.size is 5, expected 8 (rotary_dim / 2)");
  refused("--mrope-ids each.npy --mrope-sections 2,3,1,2", 1, "axes is 3, expected from 0 to 2");
  refused("--mrope-ids q.npy --mrope-sections 2,3,3", 3, "q.npy holds float32, expected int64");
  refused("--mrope-ids each.npy", 2, "--mrope-ids requires --mrope-sections");
  refused("--mrope-sections 2,3,3", 2, "--mrope-sections requires --mrope-ids");
  refused("--mrope-ids each.npy --mrope-sections 2,-3,9", 2, "--mrope-sections");
  refused("--mrope-ids each.npy --mrope-sections 2,3,3 --xpos", 2, "--xpos excludes --mrope-ids");
  refused("--mrope-ids each.npy --mrope-sections 2,3,3 --scheme coca-strict --distance-ceiling 9",
          1, "scheme is one whose score is no function of the distance m - n");
}

TEST_CASE("attend takes masks in one word, in several, and before the files", "[attend]") {
  const Folder folder;
  const std::string files = "q.npy k.npy v.npy";
  const std::string rest = " --scheme dot --window-left 4 -o ";
  REQUIRE(folder.attend("--mask causal,window " + files + rest + "a.npy").code == 0);
  REQUIRE(folder.attend(files + " --mask causal --mask window" + rest + "b.npy").code == 0);
  REQUIRE(folder.attend("--mask window --mask causal " + files + rest + "c.npy").code == 0);
  const auto a = read_npy(folder.file("a")).values;
  CHECK(a == read_npy(folder.file("b")).values);
  CHECK(a == read_npy(folder.file("c")).values);
}

TEST_CASE("attend explains itself and its refusals", "[attend]") {
  const Folder folder;
  const auto refused = [&](const std::string& arguments, int code, const std::string& text) {
    INFO(arguments);
    const auto result = folder.attend(arguments + " -o out.npy");
    CHECK(result.code == code);
    CHECK_THAT(result.text, contains(text));
    CHECK_FALSE(folder.exists("out"));
  };
  CHECK(folder.attend("--help").code == 0);
  CHECK_THAT(folder.attend("--help").text, contains("--causal-offset"));
  CHECK(folder.attend("--version").code == 0);
  refused("q.npy t.npy", 2, "v is required");
  refused("q.npy t.npy v.npy --scheme nope", 2, "nope not in");
  refused("q.npy t.npy v.npy --threads 0", 2, "--threads");
  refused("q.npy t.npy v.npy --mask causal --window-left 3", 2,
          "--window-left: goes with --mask window");
  refused("q.npy t.npy v.npy --causal-offset 3", 2, "--causal-offset: goes with --mask causal");
  refused("q.npy t.npy v.npy --lse ./out.npy", 2, "./out.npy is the file of --out");
  refused("q.npy t.npy v.npy --lse nowhere/lse.npy", 3, "nowhere/lse.npy cannot be written");
  refused("q.npy missing.npy v.npy", 3, "missing.npy cannot be opened");
  refused("q.npy k.npy v.npy", 1, "k.shape[3] (width of the key operand) is 16, expected 8");
  refused("q.npy t.npy v.npy --rotary-dim 7", 1, "rope.rotary_dim is 7");
  refused("q.npy t.npy v.npy --soft-cap -1", 1, "options.soft_cap is -1");
  refused("q.npy t.npy v.npy --distance-ceiling 7", 1,
          "scheme is one whose score is no function of the distance m - n");
  refused("q.npy t.npy v.npy --scheme coca-strict --distance-ceiling -7", 1, "distance is -7");
  refused("q.npy k.npy v.npy --scheme dot --xpos", 2,
          "--xpos: goes with a rope, which dot has not");
  refused("q.npy t.npy v.npy --rope-scaling clex", 2, "--rope-scaling clex: needs --clex-up");
  refused("q.npy t.npy v.npy --clex-up q.npy", 2, "--clex-up: goes with --rope-scaling clex");
  refused("q.npy t.npy v.npy --rope-scaling clex --clex-up q.npy --clex-down q.npy", 3,
          "q.npy holds float32, expected float64");
  refused("q.npy t.npy v.npy --checked --query-ids v.npy", 3,
          "v.npy holds float32, expected int64");

  std::ofstream(folder.path / "text.npy") << "not an array";
  refused("text.npy t.npy v.npy", 3, "text.npy is not a .npy file");
  fs::copy(folder.file("q"), folder.file("short"));
  fs::resize_file(folder.file("short"), 500);
  refused("short.npy t.npy v.npy", 3, "short.npy ends before its data does");

  const std::vector<float> few(4);
  folder.save_raw("swapped", ">f4", "1, 1, 1, 4", few);
  refused("swapped.npy t.npy v.npy", 3, "swapped.npy holds elements of type '>f4'");
  folder.save_raw("three", "<f4", "1, 1, 4", few);
  refused("three.npy t.npy v.npy", 3, "three.npy has 3 axes, expected 4 or 2");
  // The product of these extents is 0 in 64 bits: nothing to read, it seems.
  folder.save_raw("forged", "<f4", "4294967296, 4294967296, 4, 16", few);
  refused("--scheme dot forged.npy forged.npy forged.npy", 3, "of a shape that no memory holds");
  if (!kAddressSanitizer) {
    folder.save_raw("vast", "<f4", "1, 99999999999999, 4, 16", few);
    refused("vast.npy t.npy v.npy", 3, "of a shape that no memory holds");
  }

  Tensor<float> negative = folder.t;
  negative.view()(1, 2, 0, 3) = -1.0F;
  folder.save("negative", negative);
  refused("q.npy negative.npy v.npy --checked", 1, "k[1, 2, 0] is negative");

  // What stood at the place of the output stays there, and nothing is left beside it.
  folder.save("kept", folder.q);
  CHECK(folder.attend("q.npy t.npy v.npy -o kept.npy --lse nowhere/lse.npy").code == 3);
  CHECK(folder.apart("kept", folder.q.storage()) == 0.0);
  for (const auto& entry : fs::directory_iterator(folder.path)) {
    CHECK(entry.path().extension() != ".part");
  }
}
