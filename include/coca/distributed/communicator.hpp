#pragma once

#include <mpi.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "coca/core/error.hpp"

/// The ranks of a call. This folder alone needs MPI (its C interface, version 3); whoever includes it
/// links with it.
namespace coca::inline v0 {

namespace detail {

/// Fails as std::runtime_error with the text of MPI, unless `code` is that of success.
inline void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail<std::runtime_error>(std::string("coca: ") + call + ": " + text);
}

}  // namespace detail

namespace distributed {

/// A group of processes that compute attention together: a duplicate of an MPI communicator, so that
/// its messages meet no others, and its errors are exceptions whatever the program does with its own.
/// To make one is collective; it serves any number of calls, one at a time. A program that is one of
/// `size()` calls every function of this folder with the same shapes, scheme, mask and options on all
/// ranks, but for what belongs to a rank. What is wrong on all of them throws on all of them, before
/// anything is sent; what is wrong on one alone throws there, and the others wait for it, as MPI
/// programs do, until it ends or calls MPI_Abort.
///
/// Throws std::invalid_argument before MPI_Init and for MPI_COMM_NULL, std::runtime_error for an
/// error of MPI, as do all functions that take one.
class Communicator {
 public:
  /// Collective over `ranks`, which is not needed any more afterwards.
  explicit Communicator(MPI_Comm ranks) {
    int running = 0;
    MPI_Initialized(&running);
    if (running == 0) detail::reject("communicator", "made before MPI_Init", "one made behind it");
    if (ranks == MPI_COMM_NULL) detail::reject("communicator", "MPI_COMM_NULL", "one with ranks");
    detail::check_mpi(MPI_Comm_dup(ranks, &handle_), "MPI_Comm_dup");
    detail::check_mpi(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN),
                      "MPI_Comm_set_errhandler");
    detail::check_mpi(MPI_Comm_rank(handle_, &rank_), "MPI_Comm_rank");
    detail::check_mpi(MPI_Comm_size(handle_, &size_), "MPI_Comm_size");
  }
  /// Leaves `other` without ranks.
  Communicator(Communicator&& other) noexcept
      : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
        rank_(other.rank_),
        size_(other.size_) {}
  Communicator& operator=(Communicator&&) = delete;
  /// Collective, as making one is, unless MPI_Finalize came before.
  ~Communicator() {
    int over = 0;
    MPI_Finalized(&over);
    if (handle_ != MPI_COMM_NULL && over == 0) MPI_Comm_free(&handle_);
  }

  /// This process, from 0 to size() - 1.
  int rank() const { return rank_; }
  /// How many there are.
  int size() const { return size_; }
  /// For calls of MPI by the program itself; errors are returned.
  MPI_Comm handle() const { return handle_; }

  /// The rank so many after this one, around the ring; before it, if negative.
  int next(int steps = 1) const { return ((rank_ + steps) % size_ + size_) % size_; }

 private:
  MPI_Comm handle_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace distributed

}  // namespace coca::inline v0
