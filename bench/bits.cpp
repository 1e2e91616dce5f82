#define EIGEN_USE_THREADS
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bits/backward.hpp"
#include "bits/caches.hpp"
#include "bits/errors.hpp"
#include "bits/forward.hpp"
#include "bits/others.hpp"
#include "coca/coca.hpp"

/// Does a change leave every bit of every result as it was? This program hashes the results of
/// pseudo-random calls of the public interface. Build it before the change and after it, with the same
/// compiler and flags, run both on one machine (whose libm they share), and compare what they print:
///     COCA_TARGET=avx2 before/bench/bits > before.txt
///     COCA_TARGET=avx2 after/bench/bits | diff before.txt -
namespace {

using namespace bits;
using coca::ElementType;
using Eigen::bfloat16;
using Eigen::half;

constexpr const char* kHelp =
    "bits [--calls N] [--each] [--texts]\n"
    "  --calls N  makes N calls of all kinds together (default 15000)\n"
    "  --each     prints the hash of each call: diff finds the first one that differs\n"
    "  --texts    prints the error texts of the wrong calls\n";

/// One front door with a scheme, a mask and number types.
struct Kind {
  std::string door, type, what;
  void (*run)(Call&);
};
std::vector<Kind> kinds;

void add(const char* door, const char* type, const std::string& what, void (*run)(Call&)) {
  kinds.push_back({door, type, what, run});
}

template <class S, class M>
void add_attention(const std::string& what) {
  add("attention", "float", what, attend<S, M, Same<float>>);
  add("attention", "bfloat16", what, attend<S, M, Same<bfloat16>>);
  add("attention", "half", what, attend<S, M, Same<half>>);
  add("attention", "mixed", what, attend<S, M, Mixed>);
  add("attention", "mixed", what, attend<S, M, OtherMixed>);
}
template <class S, class M>
void add_packed(const std::string& what) {
  add("packed_attention", "float", what, attend_packed<S, M, Same<float>>);
  add("packed_attention", "bfloat16", what, attend_packed<S, M, Same<bfloat16>>);
  add("packed_attention", "mixed", what, attend_packed<S, M, Mixed>);
}
template <class S, class M>
void add_backward(const std::string& what) {
  add("attention_backward", "float", what, go_back<S, M, Same<float>>);
  add("attention_backward", "bfloat16", what, go_back<S, M, Same<bfloat16>>);
  add("attention_backward", "mixed", what, go_back<S, M, Mixed>);
}
template <class S, class M, class Q, ElementType Stored>
void add_decode(const char* type, const std::string& what) {
  add("decode", type, what, [](Call& call) { decode<S, M, Q, Q, false>(call, Stored); });
  add("packed_decode", type, what, [](Call& call) { decode<S, M, Q, Q, true>(call, Stored); });
}
/// By what the cache stores.
template <class S, class M>
void add_decodes(const std::string& what) {
  add_decode<S, M, float, ElementType::float32>("float32", what);
  add_decode<S, M, float, ElementType::bfloat16>("bfloat16", what);
  add_decode<S, M, bfloat16, ElementType::bfloat16>("bfloat16", what);
  add_decode<S, M, float, ElementType::float16>("float16", what);
  add_decode<S, M, half, ElementType::float16>("float16", what);
  add_decode<S, M, float, ElementType::int8>("int8", what);
  add_decode<S, M, bfloat16, ElementType::int8>("int8", what);
}
template <class S, class M>
void add_double(const std::string& what) {
  add("attention", "double", what, attend<S, M, Same<double>>);
  add("packed_attention", "double", what, attend_packed<S, M, Same<double>>);
  add_decode<S, M, double, ElementType::float64>("float64", what);
}

/// Every scheme of the library with a mask chosen at run time; the common ones with masks of their own.
void add_all() {
  using coca::Causal;
  using coca::Dot;
  using coca::Full;
  add_attention<Dot, Full>("Dot, Full");
  add_attention<Dot, Causal>("Dot, Causal");
  add_attention<Dot, Window>("Dot, window");
  add_attention<Dot, coca::BooleanMask>("Dot, BooleanMask");
  add_attention<Dot, SinksAndWindow>("Dot, sinks and window");
  add_attention<Dot, Adds>("Dot, adding");
  add_attention<Rotary, Causal>("Rotary, Causal");
  add_attention<Rotary, Hides>("Rotary, hiding");
  add_attention<Strict, Causal>("CocaStrict, Causal");
  add_attention<Strict, Hides>("CocaStrict, hiding");
  add_attention<Slack, Causal>("CocaSlack, Causal");
  add_attention<Slack, Slopes>("CocaSlack, slopes");
  add_attention<StrictX, Hides>("CocaStrict of x, hiding");
  add_attention<coca::XPos<Rotary>, Slopes>("XPos, slopes");
  add_attention<RotaryBent, Adds>("WithLogits, adding");
  add_attention<Own, Hides>("a scheme of one's own, hiding");
  add_attention<AnyScheme, Hides>("OneOf, hiding");
  add_attention<MultiRotary, Hides>("MultiRope, hiding");
  add_attention<Ceiling<Rotary>, Slopes>("DistanceCeiling of Rotary, slopes");
  add_attention<Ceiling<Strict>, Hides>("DistanceCeiling of CocaStrict, hiding");
  add("attention", "DefaultDevice", "Dot, Full", attend_alone<Dot, Full>);
  add("attention", "DefaultDevice", "CocaSlack, Causal", attend_alone<Slack, Causal>);

  add_packed<Dot, Adds>("Dot, adding");
  add_packed<Rotary, Causal>("Rotary, Causal");
  add_packed<Slack, Causal>("CocaSlack, Causal");
  add_packed<AnyScheme, Hides>("OneOf, hiding");
  add_packed<MultiRotary, Hides>("MultiRope, hiding");
  add_packed<Ceiling<Rotary>, Slopes>("DistanceCeiling of Rotary, slopes");

  add_decodes<Dot, Adds>("Dot, adding");
  add_decodes<Rotary, Causal>("Rotary, Causal");
  add_decodes<Strict, Causal>("CocaStrict, Causal");
  add_decodes<Slack, Causal>("CocaSlack, Causal");
  add_decodes<AnyScheme, Hides>("OneOf, hiding");
  add_decodes<RotaryBent, Adds>("WithLogits, adding");
  add_decodes<Ceiling<Rotary>, Slopes>("DistanceCeiling of Rotary, slopes");
  add_decodes<Own, Hides>("a scheme of one's own, hiding");

  add_double<Dot, Adds>("Dot, adding");
  add_double<Rotary, Causal>("Rotary, Causal");
  add_double<AnyScheme, Hides>("OneOf, hiding");

  add_backward<Dot, Full>("Dot, Full");
  add_backward<Dot, Adds>("Dot, adding");
  add_backward<Rotary, Causal>("Rotary, Causal");
  add_backward<Strict, Causal>("CocaStrict, Causal");
  add_backward<Slack, Causal>("CocaSlack, Causal");
  add_backward<AnyScheme, Hides>("OneOf, hiding");
  add_backward<RotaryBent, Adds>("WithLogits, adding");
  add_backward<OwnWithAdjoints, Hides>("a scheme of one's own, hiding");
  add_backward<Ceiling<Rotary>, Slopes>("DistanceCeiling of Rotary, slopes");
  add("attention_backward", "double", "Dot, adding", go_back<Dot, Adds, Same<double>>);
  add("attention_backward", "double", "OneOf, hiding", go_back<AnyScheme, Hides, Same<double>>);

  add("merge", "float", "", merge<float, float>);
  add("merge", "float", "lse in double", merge<float, double>);
  add("merge", "double", "", merge<double, double>);
  add("merge", "bfloat16", "", merge<bfloat16, float>);
  add("merge", "half", "", merge<half, float>);
  add("rotate", "float", "", rotate<float>);
  add("rotate", "double", "", rotate<double>);
  add("rotate", "bfloat16", "", rotate<bfloat16>);
  add("rotate", "half", "", rotate<half>);
}

/// What came of the calls of one front door in one type.
struct Line {
  Hash hash;
  int calls = 0;
  int refused = 0;
};

void print(const std::string& name, std::uint64_t hash, const std::string& rest) {
  std::printf("%-36s %016" PRIx64 "  %s\n", name.c_str(), hash, rest.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  int calls = 15000;
  bool each = false;
  bool texts = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--calls" && i + 1 < argc) {
      calls = std::atoi(argv[++i]);
    } else if (argument == "--each") {
      each = true;
    } else if (argument == "--texts") {
      texts = true;
    } else {
      std::fputs(kHelp, stderr);
      return 2;
    }
  }
  const std::string target = coca::target_name(coca::target());
  const char* wanted = std::getenv("COCA_TARGET");
  if (wanted != nullptr && target != wanted) {
    std::fprintf(stderr, "bits: COCA_TARGET is %s, which this processor or program does not have\n",
                 wanted);
    return 2;
  }
  std::printf("target %s\n", target.c_str());

  add_all();
  std::map<std::string, Line> lines;
  for (int i = 0; i < calls; ++i) {
    const Kind& kind = kinds[static_cast<std::size_t>(i) % kinds.size()];
    Call call{Random(static_cast<std::uint64_t>(i))};
    kind.run(call);
    const std::string name = kind.door + ", " + kind.type;
    Line& line = lines[name];
    line.hash.add(call.hash.value());
    ++line.calls;
    line.refused += call.refused ? 1 : 0;
    if (each) {
      print("call " + std::to_string(i), call.hash.value(),
            name + ": " + kind.what + " " + call.text);
    }
  }
  Hash total;
  int refused = 0;
  for (const auto& [name, line] : lines) {
    print(name, line.hash.value(), std::to_string(line.calls) + " calls");
    total.add(line.hash.value());
    refused += line.refused;
  }
  print("all results", total.value(),
        std::to_string(calls) + " calls, " + std::to_string(refused) + " of them refused");

  Hash written;
  const WrongCalls wrong(written);
  Hash text;
  for (const Refusal& refusal : wrong.refusals()) {
    written.add(refusal.what_is_wrong + (refusal.refused ? " is refused" : " goes through"));
    text.add(refusal.text);
    if (texts) std::printf("  %s: %s\n", refusal.what_is_wrong.c_str(), refusal.text.c_str());
  }
  const std::string count = std::to_string(wrong.refusals().size()) + " wrong calls";
  print("wrong calls: which are refused", written.value(), count);
  print("wrong calls: error texts", text.value(), count);
  return 0;
}
