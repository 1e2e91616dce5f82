#define EIGEN_USE_THREADS
#include <mpi.h>

#include <algorithm>
#include <array>
#include <coca/coca.hpp>
#include <coca/distributed/ring_attention.hpp>
#include <coca/distributed/ulysses.hpp>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "command_line/cli.hpp"
#include "command_line/rounding.hpp"
#include "command_line/stopwatch.hpp"

/// Causal attention over a sequence that is spread over processes:
///     mpirun -n 4 ring_attention --length 65536
/// Prints for each scheme and rank the time, how much of it was waiting, and what was sent; and compares
/// some rows with what one process computes.
namespace {

using coca::Index;
using coca::distributed::Communicator;
using coca::distributed::Shards;
using coca::distributed::TokenRange;
using coca::distributed::Traffic;
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
using Scheme = coca::OneOf<coca::Rotary<>, coca::CocaStrict<>, coca::CocaSlack<>>;

struct Arguments {
  Index length = 16384;
  Index heads = 4;
  Index key_heads = 2;
  Index dim = 64;
  int threads = 1;
  Index rows = 16;
  std::string method = "ring";
  bool contiguous = false;
};

/// Random numbers of a sequence, uniform in [low, 1): each follows from its place alone (SplitMix64,
/// Steele et al. 2014), so that any rank can have any token.
class Numbers {
 public:
  Numbers(std::uint64_t seed, Index heads, Index width, float low)
      : seed_(seed), heads_(heads), width_(width), low_(low) {}

  /// [1, tokens, heads, width], the tokens of some ranges.
  template <class Ranges>
  Tensor operator()(const Ranges& ranges) const {
    Index tokens = 0;
    for (const TokenRange& range : ranges) tokens += range.size();
    Tensor x(1, tokens, heads_, width_);
    float* to = x.data();
    for (const TokenRange& range : ranges) {
      for (Index place = range.begin * heads_ * width_; place < range.end * heads_ * width_;
           ++place) {
        *to++ = at(static_cast<std::uint64_t>(place));
      }
    }
    return x;
  }

 private:
  float at(std::uint64_t place) const {
    std::uint64_t bits = (seed_ << 48) + place * 0x9e3779b97f4a7c15U;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9U;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebU;
    bits ^= bits >> 31;
    return low_ + (1.0F - low_) * static_cast<float>(bits >> 40) * 0x1p-24F;
  }

  std::uint64_t seed_;
  Index heads_, width_;
  float low_;
};

/// One scheme's operands on all ranks.
struct Sequence {
  const char* name;
  Scheme scheme;
  Numbers q, k, v;
};

Sequence sequence(const char* name, Scheme scheme, const Arguments& a) {
  const Index key_dim = scheme.key_dim(a.dim);
  // t is not negative.
  const float low = key_dim < a.dim ? 0.0F : -1.0F;
  return {name, std::move(scheme), Numbers(1, a.heads, a.dim, -1.0F),
          Numbers(2, a.key_heads, key_dim, low), Numbers(3, a.key_heads, a.dim, -1.0F)};
}

/// The largest difference of some rows, every length / rows-th of the sequence, to attention over all of
/// it here: of those that this rank has.
double difference_to_one_process(const Sequence& sequence, const Tensor& out, const Shards& shards,
                                 int rank, const Arguments& a) {
  const std::array all{TokenRange{0, a.length}};
  const Tensor k = sequence.k(all);
  const Tensor v = sequence.v(all);
  Tensor expected(1, 1, a.heads, a.dim);
  double largest = 0.0;
  for (Index row = 0; row < a.rows; ++row) {
    const Index m = (row + 1) * a.length / a.rows - 1;
    Index place = 0;
    for (const TokenRange& range : shards.ranges(rank)) {
      if (m >= range.begin && m < range.end) {
        const Tensor q = sequence.q(std::array{TokenRange{m, m + 1}});
        coca::attention(expected, q, k, v, sequence.scheme, coca::Causal{}, {.first_query = m});
        const Eigen::Tensor<float, 0, Eigen::RowMajor> difference =
            (out.chip<1>(place + m - range.begin) - expected.chip<1>(0)).abs().maximum();
        largest = std::max(largest, static_cast<double>(difference()));
      }
      place += range.size();
    }
  }
  return largest;
}

/// Runs one scheme and prints what it took; whether the rows agree is returned, and what all ranks sent.
bool run(const Sequence& sequence, const Shards& shards, const Communicator& ranks,
         const Eigen::ThreadPoolDevice& device, const Arguments& a, double& bytes) {
  const auto ranges = shards.ranges(ranks.rank());
  const Tensor q = sequence.q(ranges);
  const Tensor k = sequence.k(ranges);
  const Tensor v = sequence.v(ranges);
  Tensor out(q.dimensions());
  MPI_Barrier(ranks.handle());
  const command_line::Stopwatch watch;
  const Traffic traffic =
      a.method == "ring"
          ? coca::distributed::ring_attention(out, q, k, v, shards, ranks, sequence.scheme,
                                              coca::Causal{}, {}, device)
          : coca::distributed::ulysses_attention(out, q, k, v, shards, ranks, sequence.scheme,
                                                 coca::Causal{}, {}, device);
  const std::array own{watch.seconds(), traffic.waiting, static_cast<double>(traffic.bytes),
                       difference_to_one_process(sequence, out, shards, ranks.rank(), a)};
  std::vector<std::array<double, 4>> all(static_cast<std::size_t>(ranks.size()));
  MPI_Allgather(own.data(), 4, MPI_DOUBLE, all.data(), 4, MPI_DOUBLE, ranks.handle());

  bytes = 0.0;
  double difference = 0.0;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const auto [seconds, waiting, sent, apart] = all[rank];
    bytes += sent;
    difference = std::max(difference, apart);
    if (ranks.rank() > 0) continue;
    std::printf("%-12s %5zu %10.3f %10.3f %12.3f\n", sequence.name, rank, seconds, waiting,
                sent / (1 << 20));
  }
  // A merge takes about eight operations, and a rank has two chunks.
  const double allowed =
      command_line::attention_rounding(a.dim, a.length + 16 * static_cast<Index>(ranks.size()));
  if (ranks.rank() == 0) {
    std::printf("%-12s %zu rows and one process: largest difference %.1e, bound %.1e\n",
                sequence.name, static_cast<std::size_t>(a.rows), difference, allowed);
    std::fflush(stdout);
  }
  return difference <= allowed;
}

int run_all(const Arguments& a, const Communicator& ranks) {
  Eigen::ThreadPool pool(a.threads);
  const Eigen::ThreadPoolDevice device(&pool, a.threads);
  const Shards shards = a.contiguous ? Shards::contiguous(a.length, ranks.size())
                                     : Shards::zig_zag(a.length, ranks.size());
  const coca::Rope rope({.dim = a.dim});
  if (ranks.rank() == 0) {
    std::printf("%-12s %5s %10s %10s %12s\n", "scheme", "rank", "seconds", "waiting", "MiB sent");
  }
  bool good = true;
  double rotary_bytes = 0.0;
  for (const Sequence& one : {sequence("rotary", coca::Rotary{rope}, a),
                              sequence("coca-strict", coca::CocaStrict{rope}, a),
                              sequence("coca-slack", coca::CocaSlack{rope}, a)}) {
    double bytes = 0.0;
    good = run(one, shards, ranks, device, a, bytes) && good;
    if (rotary_bytes == 0.0) rotary_bytes = bytes;
    if (ranks.rank() == 0 && rotary_bytes > 0.0) {
      std::printf("%-12s %.3f of the bytes of rotary\n", one.name, bytes / rotary_bytes);
    }
  }
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Attends to one sequence with several processes.", "ring_attention");
  app.add_option("--length", a.length, "tokens")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  app.add_option("--heads", a.heads, "query heads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--key-heads", a.key_heads, "a divisor of --heads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--dim", a.dim, "width of a head, even")
      ->check(CLI::Range(2, 1024))
      ->capture_default_str();
  app.add_option("--method", a.method, "keys travel (ring), or heads are exchanged (ulysses)")
      ->check(CLI::IsMember({"ring", "ulysses"}))
      ->capture_default_str();
  app.add_flag("--contiguous", a.contiguous,
               "one chunk a rank, which a causal mask does not balance");
  app.add_option("--threads", a.threads, "of each process")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--rows", a.rows, "compared with one process, which has memory for the sequence")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();

  // Of several threads, the first calls MPI.
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int code = 0;
  {
    const Communicator ranks(MPI_COMM_WORLD);
    try {
      app.parse(argc, argv);
      code = run_all(a, ranks);
    } catch (const CLI::ParseError& error) {
      code = ranks.rank() == 0 ? app.exit(error) : error.get_exit_code();
    } catch (const std::exception& error) {
      if (ranks.rank() == 0) std::fprintf(stderr, "ring_attention: %s\n", error.what());
      code = 1;
    }
  }
  MPI_Finalize();
  return code;
}
