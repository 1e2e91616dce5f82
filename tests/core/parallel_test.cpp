#include "coca/core/parallel.hpp"

#include <atomic>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"

using namespace coca::detail;

TEST_CASE("every item is done once, by a worker in range", "[core]") {
  Eigen::ThreadPool pool(3);
  for (const int threads : {1, 2, 3}) {
    const Eigen::ThreadPoolDevice device(&pool, threads);
    for (const coca::Index items : {0, 1, 2, 100}) {
      const int workers = AnyDevice(device).threads();
      CHECK(workers == threads);
      CHECK(AnyDevice(device).helpers() == threads);
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(items));
      std::atomic<bool> in_range{true};
      parallel_for(device, workers, items, [&](int worker, coca::Index item) {
        ++done[static_cast<std::size_t>(item)];
        if (worker < 0 || worker >= workers) in_range = false;
      });
      for (const auto& count : done) CHECK(count == 1);
      CHECK(in_range);
    }
  }
}

TEST_CASE("an exception of the body reaches the caller", "[core]") {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  const auto fail = [](int, coca::Index item) {
    if (item == 13) throw std::runtime_error("thirteen");
  };
  CHECK_THROWS_WITH(parallel_for(device, 2, 50, fail), "thirteen");
  CHECK_THROWS_WITH(parallel_for(Eigen::DefaultDevice{}, 1, 50, fail), "thirteen");
}

TEST_CASE("inside its own pool the work is done by the caller alone", "[core]") {
  Eigen::ThreadPool pool(1);
  const Eigen::ThreadPoolDevice device(&pool, 4);
  Eigen::Notification done;
  int workers = 0;
  pool.Schedule([&] {
    workers = AnyDevice(device).helpers();
    done.Notify();
  });
  done.Wait();
  CHECK(workers == 1);
}
