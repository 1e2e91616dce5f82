#define EIGEN_USE_THREADS
#include <algorithm>
#include <array>
#include <chrono>
#include <coca/coca.hpp>
#include <iostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "command_line/mask.hpp"
#include "command_line/npy.hpp"
#include "command_line/program.hpp"
#include "command_line/require.hpp"
#include "decode/arguments.hpp"

namespace decode {
namespace {

using coca::Index;
using command_line::require;

/// What must fit before the tokens are divided into steps; the rest, the library sees by itself.
template <class T>
void check(const Arguments& arguments, const coca::TensorView<const T>& q,
           const coca::TensorView<const T>& k, const coca::TensorView<const T>& v, Index key_dim) {
  for (const auto& [name, x] : {std::pair("k", k), std::pair("v", v)}) {
    const std::string shape = std::string(name) + ".shape";
    require(x.shape[0] == q.shape[0], shape + "[0] (batch)", x.shape[0],
            std::to_string(q.shape[0]) + " as for q");
    require(x.shape[1] == q.shape[1], shape + "[1] (tokens)", x.shape[1],
            std::to_string(q.shape[1]) + " as for q");
  }
  require(k.shape[3] == key_dim, "k.shape[3] (width of the key operand)", k.shape[3],
          std::to_string(key_dim) + " for this scheme");
  Index most = q.shape[1];
  // In one call with more, a query would come after keys that it sees are dropped.
  if (arguments.cache == "rolling") {
    most = std::min(most, arguments.rolling.sinks + arguments.rolling.window);
  }
  require(arguments.prefill >= 0 && arguments.prefill <= most, "prefill", arguments.prefill,
          "from 0 to " + std::to_string(most) + ", the tokens there are and the cache holds");
}

template <class T>
coca::ElementType stored_type(const std::string& name) {
  if (name == "float64") return coca::ElementType::float64;
  if (name == "float32") return coca::ElementType::float32;
  if (name == "bfloat16") return coca::ElementType::bfloat16;
  if (name == "float16") return coca::ElementType::float16;
  if (name == "int8") return coca::ElementType::int8;
  return std::is_same_v<T, double> ? coca::ElementType::float64 : coca::ElementType::float32;
}

/// Tokens `first` to `end` - 1 of all sequences.
template <class T>
coca::TensorView<T> tokens(coca::TensorView<T> x, Index first, Index end) {
  x.data += first * x.strides[1];
  x.shape[1] = end - first;
  return x;
}

template <class T, class Cache>
void fill(const Arguments& arguments, const coca::TensorView<T>& out,
          const coca::TensorView<const T>& q, const coca::TensorView<const T>& k,
          const coca::TensorView<const T>& v, Cache&& cache) {
  std::vector<coca::SequenceId> sequences(static_cast<std::size_t>(q.shape[0]));
  for (coca::SequenceId& sequence : sequences) sequence = cache.add();
  const command_line::SchemeOfLength scheme(arguments, q.shape[3]);
  const command_line::AnyMask mask(arguments, q.shape[2]);
  Eigen::ThreadPool pool(arguments.threads);
  const Eigen::ThreadPoolDevice device(&pool, arguments.threads);
  const auto step = [&](Index first, Index end) {
    cache.append(sequences, tokens(k, first, end), tokens(v, first, end));
    // All sequences are of one length: none yet, if there is none.
    const Index length = sequences.empty() ? 0 : cache.length(sequences.front());
    scheme.with(length, [&](const auto& chosen) {
      coca::decode(tokens(out, first, end), tokens(q, first, end), cache, sequences, chosen,
                   coca::Causal{} & mask, {}, device);
    });
  };
  const auto start = std::chrono::steady_clock::now();
  if (arguments.prefill > 0) step(0, arguments.prefill);
  for (Index n = arguments.prefill; n < q.shape[1]; ++n) step(n, n + 1);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (arguments.verbose) {
    std::cerr << arguments.scheme << ", " << arguments.cache << " cache of " << cache.bytes()
              << " bytes, " << q.shape[0] << " sequences, " << arguments.prefill
              << " tokens in one call, " << q.shape[1] - arguments.prefill
              << " one by one: " << seconds.count() << " s\n";
  }
}

template <class T>
void run(const Arguments& arguments, const command_line::Array& q_file,
         const command_line::Array& k_file, const command_line::Array& v_file) {
  const auto q = q_file.tensor<T>();
  const auto k = k_file.tensor<T>();
  const auto v = v_file.tensor<T>();
  const Index key_dim = command_line::SchemeOfLength(arguments, q.shape[3])(0).key_dim(q.shape[3]);
  check(arguments, q, k, v, key_dim);
  const std::array<Index, 4> shape{q.shape[0], q.shape[1], q.shape[2], v.shape[3]};
  std::vector<T> values(static_cast<std::size_t>(coca::TensorView<T>(nullptr, shape).size()));
  const coca::TensorView<T> out(values.data(), shape);

  const coca::CacheOptions options{.key_heads = k.shape[2],
                                   .key_dim = key_dim,
                                   .value_dim = v.shape[3],
                                   .type = stored_type<T>(arguments.type)};
  if (arguments.cache == "paged") {
    fill(arguments, out, q, k, v, coca::PagedCache(options, arguments.pages));
  } else if (arguments.cache == "rolling") {
    fill(arguments, out, q, k, v, coca::RollingCache(options, arguments.rolling));
  } else {
    fill(arguments, out, q, k, v, coca::GrowingCache(options));
  }

  command_line::PendingFile file(arguments.out);
  if (q_file.is_matrix()) {
    command_line::write_npy(file, {shape[1], shape[3]}, values);
  } else {
    command_line::write_npy(file, {shape.begin(), shape.end()}, values);
  }
  file.keep();
}

}  // namespace
}  // namespace decode

/// Exit codes: 0 done, 1 wrong values or shapes, 2 wrong command line, 3 a file that cannot be read
/// or written or holds another kind of array. Nothing is written unless all is well.
int main(int argc, char** argv) {
  decode::Arguments arguments;
  if (const auto code = decode::parse(argc, argv, arguments)) return *code;
  return command_line::run_program("decode", [&] {
    const command_line::Array q = command_line::read_npy(arguments.q);
    const command_line::Array k = command_line::read_npy(arguments.k);
    const command_line::Array v = command_line::read_npy(arguments.v);
    command_line::with_element_type(q, [&]<class T>(T) { decode::run<T>(arguments, q, k, v); });
  });
}
