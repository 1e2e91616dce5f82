#pragma once

#include <mpi.h>

#include "coca/distributed/communicator.hpp"

namespace test {

/// All ranks of this run, from the first use to the end of the program.
inline const coca::distributed::Communicator& world() {
  struct Mpi {
    Mpi() {
      int provided = 0;  // of a pool's threads, none calls MPI
      MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    }
    ~Mpi() { MPI_Finalize(); }
  };
  static const Mpi mpi;
  static const coca::distributed::Communicator ranks(MPI_COMM_WORLD);
  return ranks;
}

}  // namespace test
