#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <exception>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "coca/core/scalar.hpp"

/// Work over Eigen's devices: items are handed out one by one to whoever is free.
namespace coca::inline v0 {

/// Eigen::ThreadPoolDevice, recognised by what it offers: Eigen declares it only where
/// EIGEN_USE_THREADS is defined, which is the including program's choice.
template <class D>
concept PoolDevice = requires(const D& device) {
  { device.numThreads() } -> std::convertible_to<int>;
  { device.getPool()->CurrentThreadId() } -> std::convertible_to<int>;
};

/// Where a computation may run.
template <class D>
concept Device = std::same_as<D, Eigen::DefaultDevice> || PoolDevice<D>;

namespace detail {

/// How many threads a device has.
template <Device D>
int thread_count(const D& device) {
  if constexpr (PoolDevice<D>) {
    return std::max(1, device.numThreads());
  } else {
    return 1;
  }
}

/// How many of them may work on a call from here, the calling one included.
template <Device D>
int helper_count(const D& device) {
  if constexpr (PoolDevice<D>) {
    // A pool thread that waited for its own pool could wait for ever.
    return device.getPool()->CurrentThreadId() >= 0 ? 1 : thread_count(device);
  } else {
    return 1;
  }
}

/// How many workers to use for what is worth so many, 1 or more.
template <Device D>
int workers_for(double worth, const D& device) {
  return static_cast<int>(std::clamp(worth, 1.0, static_cast<double>(helper_count(device))));
}

/// Calls body(worker, item) for every item in [0, items), where worker < workers tells apart the
/// calls that may run at the same time. The calling thread is one of the workers. The first
/// exception thrown by body is rethrown here, after all workers have stopped.
template <Device D, class Body>
void parallel_for(const D& device, int workers, Index items, const Body& body) {
  if constexpr (PoolDevice<D>) {
    if (workers > 1) {
      struct Shared {
        const Body& body;
        Index items;
        Eigen::Barrier done;
        std::atomic<Index> next_item{0};
        std::atomic<int> next_worker{0};
        std::atomic<bool> failed{false};
        std::exception_ptr error{};

        void work() {
#if defined(__cpp_exceptions)
          try {
            take_items();
          } catch (...) {
            if (!failed.exchange(true)) error = std::current_exception();
          }
#else
          take_items();
#endif
        }
        void take_items() {
          const int worker = next_worker.fetch_add(1, std::memory_order_relaxed);
          while (!failed.load(std::memory_order_relaxed)) {
            const Index item = next_item.fetch_add(1, std::memory_order_relaxed);
            if (item >= items) break;
            body(worker, item);
          }
        }
      } shared{body, items, Eigen::Barrier(static_cast<unsigned>(workers - 1))};

      for (int helper = 1; helper < workers; ++helper) {
        // One captured pointer fits std::function's own storage: no allocation.
        device.getPool()->Schedule([state = &shared] {
          state->work();
          state->done.Notify();
        });
      }
      shared.work();
      shared.done.Wait();
#if defined(__cpp_exceptions)
      if (shared.error) std::rethrow_exception(shared.error);
#endif
      return;
    }
  }
  for (Index item = 0; item < items; ++item) body(0, item);
}

}  // namespace detail

}  // namespace coca::inline v0
