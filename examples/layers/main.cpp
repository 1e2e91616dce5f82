#define EIGEN_USE_THREADS
#include <algorithm>
#include <coca/cache/paged_cache.hpp>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "command_line/cli.hpp"
#include "command_line/npy.hpp"
#include "command_line/program.hpp"
#include "command_line/require.hpp"
#include "command_line/stopwatch.hpp"
#include "layers/attention_layer.hpp"
#include "layers/checkpoint.hpp"

/// One attention layer of a checkpoint, over whole sequences and then again with a cache, token by token
/// as in generation.
namespace layers {
namespace {

/// The command line. docs/layers.md describes it.
struct Arguments {
  std::string folder;
  Index layer = 0;
  bool coca = false;
  std::string hidden;  ///< a file; empty: random numbers
  Index tokens = 256;
  std::uint64_t seed = 1;
  Index prefill = 0;
  std::string out;
  int threads = 1;
};

/// Hidden states: rows of one sequence after the other.
struct Batch {
  Matrix x;
  std::vector<Index> shape;  ///< [sequences, tokens, hidden], or [tokens, hidden] for one

  Index sequences() const { return shape.size() == 3 ? shape.front() : 1; }
  Index tokens() const { return x.rows() / sequences(); }
};

Batch random_batch(Index tokens, Index hidden, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> normal;
  return {Matrix::NullaryExpr(tokens, hidden, [&] { return normal(engine); }), {tokens, hidden}};
}

Batch read_batch(const std::string& path, Index hidden) {
  using command_line::require;
  const command_line::Array file = command_line::read_npy(path);
  coca::View<const float, 3> from;
  if (file.shape.size() == 3) {
    from = file.view<float, 3>();
  } else {
    const auto one = file.view<float, 2>();
    from = {one.data, {1, one.shape[0], one.shape[1]}, {0, one.strides[0], one.strides[1]}};
  }
  require(from.size() > 0, path + ".size", from.size(), "1 or more");
  require(from.shape[2] == hidden, path + ".shape[-1]", from.shape[2],
          std::to_string(hidden) + ", the hidden_size of the checkpoint");
  Batch batch{Matrix(from.shape[0] * from.shape[1], hidden), file.shape};
  for (Index row = 0; row < batch.x.rows(); ++row) {
    for (Index i = 0; i < hidden; ++i) {
      batch.x(row, i) = from(row / from.shape[1], row % from.shape[1], i);
    }
  }
  return batch;
}

/// What the layer makes of a batch with a cache: of `prefill` tokens in one call, and then of the others
/// one by one.
Matrix generate(const AttentionLayer& layer, const Batch& batch, Index prefill,
                coca::PagedCache& cache, const Eigen::ThreadPoolDevice& device) {
  const Index count = batch.sequences();
  const Index hidden = batch.x.cols();
  std::vector<coca::SequenceId> ids(static_cast<std::size_t>(count));
  for (coca::SequenceId& id : ids) id = cache.add();

  Matrix y(batch.x.rows(), hidden);
  // With a row for each sequence, its tokens are columns.
  const Eigen::Map<const Matrix> from(batch.x.data(), count, batch.tokens() * hidden);
  Eigen::Map<Matrix> to(y.data(), count, batch.tokens() * hidden);
  for (Index first = 0; first < batch.tokens();) {
    const Index tokens = first == 0 ? std::max<Index>(prefill, 1) : 1;
    Matrix x(count * tokens, hidden);
    x.reshaped<Eigen::RowMajor>(count, tokens * hidden) =
        from.middleCols(first * hidden, tokens * hidden);
    to.middleCols(first * hidden, tokens * hidden) =
        layer.forward(x, cache, ids, device).reshaped<Eigen::RowMajor>(count, tokens * hidden);
    first += tokens;
  }
  return y;
}

void run(const Arguments& arguments) {
  const hugging_face::Checkpoint checkpoint(arguments.folder);
  const AttentionLayer layer = load_attention(checkpoint, arguments.layer,
                                              arguments.coca ? Scheme::coca_slack : Scheme::rotary);
  const AttentionConfig& config = layer.config();
  const Batch batch = arguments.hidden.empty()
                          ? random_batch(arguments.tokens, config.hidden, arguments.seed)
                          : read_batch(arguments.hidden, config.hidden);
  command_line::require(arguments.prefill <= batch.tokens(), "prefill", arguments.prefill,
                        "0 to the " + std::to_string(batch.tokens()) + " tokens there are");

  Eigen::ThreadPool pool(arguments.threads);
  const Eigen::ThreadPoolDevice device(&pool, arguments.threads);
  coca::GrowingCache cache(layer.cache_options());
  const command_line::Stopwatch whole_time;
  const Matrix whole = layer.forward(batch.x, batch.sequences(), device);
  const double whole_ms = 1e3 * whole_time.seconds();
  const command_line::Stopwatch cached_time;
  const Matrix cached = generate(layer, batch, arguments.prefill, cache, device);
  const double cached_ms = 1e3 * cached_time.seconds();

  const auto number = [](Index value) { return static_cast<long>(value); };
  std::printf("%s layer %ld, %s: hidden %ld, %ld heads of %ld, %ld key heads\n",
              checkpoint.config().at("model_type").get<std::string>().c_str(),
              number(arguments.layer), arguments.coca ? "CoCA slack" : "RoPE",
              number(config.hidden), number(config.heads), number(config.head_dim()),
              number(config.key_heads));
  std::printf("in one call:  %ld tokens of %ld sequences, %.2f ms\n", number(batch.tokens()),
              number(batch.sequences()), whole_ms);
  std::printf("with a cache: %ld tokens at once and %ld one by one, %.2f ms, %ld bytes a token\n",
              number(arguments.prefill), number(batch.tokens() - arguments.prefill), cached_ms,
              number(cache.token_bytes()));
  std::printf("largest difference %.1e, of numbers up to %.1e\n",
              static_cast<double>((whole - cached).cwiseAbs().maxCoeff()),
              static_cast<double>(whole.cwiseAbs().maxCoeff()));

  if (arguments.out.empty()) return;
  command_line::PendingFile file(arguments.out);
  const std::vector<float> values(cached.data(), cached.data() + cached.size());
  command_line::write_npy(file, batch.shape, values);
  file.keep();
}

}  // namespace
}  // namespace layers

/// Exit codes: 0 done, 1 wrong values or shapes, 2 wrong command line, 3 a file that cannot be read
/// or written or holds something else. Nothing is written unless all is well.
int main(int argc, char** argv) {
  layers::Arguments a;
  CLI::App app(
      "Runs an attention layer of a LLaMA, Qwen2 or Qwen3 checkpoint over whole sequences, and "
      "again with a cache, token by token.",
      "layers");
  app.set_version_flag("--version", command_line::version());
  app.add_option("folder", a.folder,
                 "config.json and model.safetensors, in the Hugging Face layout")
      ->required();
  app.add_option("layer", a.layer, "which of the model's layers, from 0")->capture_default_str();
  app.add_flag("--coca", a.coca,
               "the CoCA variant of the layer, in slack form: t_proj, or k_proj taken for it");
  CLI::Option* hidden =
      app.add_option("--hidden", a.hidden,
                     "a float32 .npy file of states, [tokens, hidden] or [sequences, tokens, "
                     "hidden]; random ones unless given");
  app.add_option("--tokens", a.tokens, "how many random ones")
      ->check(CLI::Range(1, 1 << 24))
      ->excludes(hidden)
      ->capture_default_str();
  app.add_option("--seed", a.seed, "of the random ones")->excludes(hidden)->capture_default_str();
  app.add_option("--prefill", a.prefill, "tokens that go into the cache in one call, first of all")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_option("-o,--out", a.out,
                 "a .npy file for the layer's output, of the shape of the input");
  app.add_option("--threads", a.threads, "threads for attention")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return command_line::run_program("layers", [&] { layers::run(a); });
}
