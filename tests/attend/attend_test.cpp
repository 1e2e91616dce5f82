#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "coca/coca.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/npy.hpp"
#include "support/random.hpp"

/// The command-line program from outside: files in, files out, exit codes and messages.
namespace {

using namespace test;
namespace fs = std::filesystem;

/// The program's mask has a bias, of 0, and so takes the scores through natural units: results are
/// the same up to a few ulp of numbers below 4.
constexpr double kRounding = 16.0 * std::numeric_limits<float>::epsilon();

/// Catch2's matcher for a part of a text, which version 3 calls otherwise.
auto contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

/// A folder of its own, with operands in it.
struct Folder {
  fs::path path =
      fs::temp_directory_path() / ("coca_attend_" + std::to_string(std::random_device{}()));
  Tensor<float> q{{2, 20, 4, 16}}, t{{2, 30, 2, 8}}, k{{2, 30, 2, 16}}, v{{2, 30, 2, 12}};

  Folder() {
    fs::create_directory(path);
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
  ~Folder() { fs::remove_all(path); }

  std::string file(const std::string& name) const { return (path / (name + ".npy")).string(); }
  void save(const std::string& name, const Tensor<float>& x) const {
    const auto& shape = x.view().shape;
    write_npy(file(name), {shape.begin(), shape.end()}, x.storage());
  }

  struct Result {
    int code;
    std::string text;
  };
  /// Runs attend in the folder: "q t v -o out" stand for the files of these names.
  Result attend(const std::string& arguments) const {
    const std::string log = (path / "log").string();
    const std::string command =
        "cd '" + path.string() + "' && '" COCA_ATTEND "' " + arguments + " >log 2>&1";
    const int status = std::system(command.c_str());
    std::ifstream stream(log);
    std::ostringstream text;
    text << stream.rdbuf();
    return {WEXITSTATUS(status), text.str()};
  }
  /// Largest difference between a result file and what the library says.
  double apart(const std::string& name, const std::vector<float>& expected) const {
    const Npy result = read_npy(file(name));
    REQUIRE(result.values.size() == expected.size());
    double most = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      most = worse(most, result.values[i], static_cast<double>(expected[i]));
    }
    return most;
  }
  bool exists(const std::string& name) const { return fs::exists(file(name)); }
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
  refused("q.npy missing.npy v.npy", 3, "missing.npy cannot be opened");
  refused("q.npy k.npy v.npy", 1, "k.shape[3] (width of the key operand) is 16, expected 8");
  refused("q.npy t.npy v.npy --rotary-dim 7", 1, "rope.rotary_dim is 7");
  refused("q.npy t.npy v.npy --soft-cap -1", 1, "options.soft_cap is -1");
  refused("q.npy t.npy v.npy --checked --query-ids v.npy", 3,
          "v.npy holds float32, expected int64");

  std::ofstream(folder.path / "text.npy") << "not an array";
  refused("text.npy t.npy v.npy", 3, "text.npy is not a .npy file");
  fs::copy(folder.file("q"), folder.file("short"));
  fs::resize_file(folder.file("short"), 500);
  refused("short.npy t.npy v.npy", 3, "short.npy ends before its data does");

  Tensor<float> negative = folder.t;
  negative.view()(1, 2, 0, 3) = -1.0F;
  folder.save("negative", negative);
  refused("q.npy negative.npy v.npy --checked", 1, "k[1, 2, 0] is negative");
}
