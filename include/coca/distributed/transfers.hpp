#pragma once

#include <mpi.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "coca/core/scalar.hpp"
#include "coca/distributed/communicator.hpp"

/// Messages between ranks, on their way while something else is computed.
namespace coca::inline v0 {

namespace distributed {

/// What one call sent from this rank to others. What stays on a rank counts for nothing.
struct Traffic {
  Index messages = 0;    ///< how many
  Index bytes = 0;       ///< of all of them
  double waiting = 0.0;  ///< seconds in which there was nothing to do but wait for messages
};

}  // namespace distributed

namespace detail {

/// Messages under way. Between two ranks they arrive in the order in which they were sent, and are
/// received in that order: who sends and who receives need to agree on that alone.
class Transfers {
 public:
  /// MPI counts in int; longer messages are cut into pieces of at most so many bytes.
  static constexpr Index kMostBytes = Index{1} << 30;

  Transfers(const distributed::Communicator& ranks, distributed::Traffic& traffic,
            Index most_bytes = kMostBytes)
      : ranks_(ranks), traffic_(traffic), most_bytes_(most_bytes) {}
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;
  /// Memory that MPI reads or writes must be there until it has. The other ranks come to this step
  /// whatever happened here.
  ~Transfers() {
    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  }

  template <class T>
  void send(const T* first, Index count, int to) {
    const auto* data = reinterpret_cast<const std::byte*>(first);
    for_each_piece(count * static_cast<Index>(sizeof(T)), [&](Index at, int bytes) {
      check_mpi(MPI_Isend(data + at, bytes, MPI_BYTE, to, kTag, ranks_.handle(), request()),
                "MPI_Isend");
      ++traffic_.messages;
      traffic_.bytes += bytes;
    });
  }
  template <class T>
  void receive(T* first, Index count, int from) {
    auto* data = reinterpret_cast<std::byte*>(first);
    for_each_piece(count * static_cast<Index>(sizeof(T)), [&](Index at, int bytes) {
      check_mpi(MPI_Irecv(data + at, bytes, MPI_BYTE, from, kTag, ranks_.handle(), request()),
                "MPI_Irecv");
    });
  }

  /// Lets MPI move what is under way: most implementations do so only when they are called.
  void progress() {
    int done = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
  }
  void wait() {
    const double start = MPI_Wtime();
    check_mpi(
        MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE),
        "MPI_Waitall");
    requests_.clear();
    traffic_.waiting += MPI_Wtime() - start;
  }

 private:
  static constexpr int kTag = 0;

  template <class Move>
  void for_each_piece(Index bytes, const Move& move) const {
    for (Index at = 0; at < bytes; at += most_bytes_) {
      move(at, static_cast<int>(std::min(most_bytes_, bytes - at)));
    }
  }
  /// Room for one more, taken before there is something to lose.
  MPI_Request* request() {
    requests_.push_back(MPI_REQUEST_NULL);
    return &requests_.back();
  }

  const distributed::Communicator& ranks_;
  distributed::Traffic& traffic_;
  Index most_bytes_;
  std::vector<MPI_Request> requests_;
};

}  // namespace detail

}  // namespace coca::inline v0
