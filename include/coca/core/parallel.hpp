#pragma once

#include <algorithm>
#include <concepts>
#include <unsupported/Eigen/CXX11/Tensor>

#include "coca/core/compiled.hpp"
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

/// A device whose type the kernels need not know.
class AnyDevice {
 public:
  template <Device D>
  AnyDevice(const D& device) {
    if constexpr (PoolDevice<D>) {
      threads_ = std::max(1, device.numThreads());
      // A pool thread that waited for its own pool could wait for ever.
      helpers_ = device.getPool()->CurrentThreadId() >= 0 ? 1 : threads_;
      device_ = &device;
      schedule_ = [](const void* pool, void (*task)(void*), void* argument) {
        // Two captured pointers fit std::function's own storage: no allocation.
        static_cast<const D*>(pool)->getPool()->Schedule([task, argument] { task(argument); });
      };
    }
  }

  /// How many threads it has.
  int threads() const { return threads_; }
  /// How many of them may work on a call from here, the calling one included.
  int helpers() const { return helpers_; }
  /// How many workers to use for work that is worth so many, 1 or more.
  int workers_for(double worth) const {
    return static_cast<int>(std::clamp(worth, 1.0, static_cast<double>(helpers_)));
  }
  /// Hands task(argument) to another thread.
  void schedule(void (*task)(void*), void* argument) const { schedule_(device_, task, argument); }

 private:
  int threads_ = 1;
  int helpers_ = 1;
  const void* device_ = nullptr;
  void (*schedule_)(const void* pool, void (*task)(void*), void* argument) = nullptr;
};

/// A function of a worker and an item, its type erased. It does not own what it calls.
class ItemFunction {
 public:
  template <class Body>
  ItemFunction(const Body& body)
      : body_(&body), call_([](const void* any, int worker, Index item) {
          (*static_cast<const Body*>(any))(worker, item);
        }) {}

  void operator()(int worker, Index item) const { call_(body_, worker, item); }

 private:
  const void* body_;
  void (*call_)(const void* body, int worker, Index item);
};

/// Calls body(worker, item) for every item in [0, items), where worker < workers tells apart the
/// calls that may run at the same time. The calling thread is one of the workers. The first
/// exception thrown by body is rethrown here, after all workers have stopped.
COCA_FUNCTION void parallel_for(const AnyDevice& device, int workers, Index items,
                                const ItemFunction& body);

}  // namespace detail

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/core/parallel-inl.hpp"
#endif
