#pragma once

#include <atomic>
#include <exception>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "coca/core/parallel.hpp"

namespace coca::inline v0::detail {

/// What the workers of one call share.
class SharedItems {
 public:
  SharedItems(const ItemFunction& body, Index items, int workers)
      : body_(body), items_(items), done_(static_cast<unsigned>(workers - 1)) {}

  void work() {
#if defined(__cpp_exceptions)
    try {
      take_items();
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
#else
    take_items();
#endif
  }
  /// The last thing that a helper does with it.
  void notify() { done_.Notify(); }
  /// Until all helpers have stopped.
  void wait() {
    done_.Wait();
#if defined(__cpp_exceptions)
    if (error_) std::rethrow_exception(error_);
#endif
  }

 private:
  void take_items() {
    const int worker = next_worker_.fetch_add(1, std::memory_order_relaxed);
    while (!failed_.load(std::memory_order_relaxed)) {
      const Index item = next_item_.fetch_add(1, std::memory_order_relaxed);
      if (item >= items_) break;
      body_(worker, item);
    }
  }

  const ItemFunction& body_;
  Index items_;
  Eigen::Barrier done_;
  std::atomic<Index> next_item_{0};
  std::atomic<int> next_worker_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_{};
};

COCA_FUNCTION void parallel_for(const AnyDevice& device, int workers, Index items,
                                const ItemFunction& body) {
  if (workers <= 1) {
    for (Index item = 0; item < items; ++item) body(0, item);
    return;
  }
  SharedItems shared(body, items, workers);
  for (int helper = 1; helper < workers; ++helper) {
    device.schedule(
        [](void* state) {
          static_cast<SharedItems*>(state)->work();
          static_cast<SharedItems*>(state)->notify();
        },
        &shared);
  }
  shared.work();
  shared.wait();
}

}  // namespace coca::inline v0::detail
