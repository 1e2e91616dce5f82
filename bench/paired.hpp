#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "load.hpp"
#include "machine.hpp"
#include "program.hpp"

/// Times that mean something on a machine whose speed drifts: whatever is compared takes turns, and
/// a number is the median over the rounds.
namespace bench {

/// The value below which a share of them lie.
inline double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(
      std::lround(share * static_cast<double>(values.size() - 1)))];
}

/// A call, made as often in a turn as makes the turn long enough for the clock.
template <class Call>
class Turn {
 public:
  explicit Turn(const Call& call) : call_(call) {
    const double begin = seconds();
    call_();  // warms up: memory, tables, caches
    const double start = seconds();
    once_ = start - begin;
    if (long_enough()) return;
    call_();
    once_ = seconds() - start;
    calls_ = std::max(1, static_cast<int>(std::ceil(shortest / std::max(once_, 1e-8))));
  }

  /// Seconds of one call.
  double operator()() const {
    const double start = seconds();
    for (int i = 0; i < calls_; ++i) call_();
    return (seconds() - start) / calls_;
  }

  /// Seconds of a turn, roughly.
  double length() const { return once_ * calls_; }

  /// Whether the first call took so long that warming up is lost in it: it counts like any other.
  bool long_enough() const { return once_ > 2.0; }

 private:
  static constexpr double shortest = 0.5e-3;
  const Call& call_;
  double once_ = 0.0;
  int calls_ = 1;
};

/// As many rounds as the row has time for: few of long calls, which average by themselves, and
/// enough for deciles of short ones.
inline int rounds_for(double round_seconds) {
  const int rounds = static_cast<int>(row_seconds() / round_seconds);
  return std::clamp(rounds, round_seconds > 4.0 ? 1 : round_seconds > 1.0 ? 3 : 5, 101);
}

/// The median of the values under a name, and their deciles beside it.
inline void count(benchmark::State& state, const std::string& name,
                  const std::vector<double>& values) {
  state.counters[name] = quantile(values, 0.5);
  state.counters[name + "_low"] = quantile(values, 0.1);
  state.counters[name + "_high"] = quantile(values, 0.9);
}

/// One call against what the same threads could have done in its time, by probes just before and
/// after it: counter "percent". `amount` is the call's share of what `probe` gives for a second, and
/// a counter of the name that is given.
template <class Call, class Probe>
void measure_against(benchmark::State& state, const Call& call, const std::string& name,
                     double amount, const Probe& probe) {
  for (auto _ : state) {
    const double begin = seconds();
    std::vector<double> times, percents, peaks{probe()};
    const double probe_seconds = seconds() - begin;
    const auto round = [&](double time) {
      times.push_back(time);
      peaks.push_back(probe());
      const double peak = (peaks[peaks.size() - 2] + peaks.back()) / 2;
      percents.push_back(100.0 * amount / (time * peak));
    };
    const Load load;
    const Turn turn(call);
    if (turn.long_enough()) {
      round(turn.length());
    } else {
      peaks.push_back(probe());
      for (int i = rounds_for(turn.length() + probe_seconds); i > 0; --i) round(turn());
    }
    state.counters["others"] = load.others();
    state.counters["own"] = load.own();
    state.SetIterationTime(quantile(times, 0.5));
    count(state, "percent", percents);
    state.counters[name] = amount;
    state.counters["rate"] = amount / quantile(times, 0.5);
    state.counters["peak"] = quantile(peaks, 0.5);
    state.counters["rounds"] = static_cast<double>(times.size());
  }
}

/// Against multiply-adds in T.
template <class T, class Call>
void measure_against_peak(benchmark::State& state, const Call& call, double operations,
                          const Device& device) {
  measure_against(state, call, "operations", operations, [&] { return fma_peak<T>(device); });
}

/// Against reading memory.
template <class Call>
void measure_against_bandwidth(benchmark::State& state, const Call& call, double bytes,
                               const Device& device) {
  const ReadBuffer buffer = read_buffer();
  measure_against(state, call, "bytes", bytes, [&] { return read_bandwidth(device, buffer); });
}

/// One call against another, in turns: counter "ratio", the time of `call` over that of `base`, by
/// rounds. Who begins a round changes, so that a drift favours nobody.
template <class Call, class Base>
void measure_pair(benchmark::State& state, const Call& call, const Base& base) {
  for (auto _ : state) {
    const Load load;
    const Turn turn(call);
    const Turn base_turn(base);
    std::vector<double> times, base_times, ratios;
    const int rounds = rounds_for(turn.length() + base_turn.length());
    for (int round = 0; round < rounds; ++round) {
      if (round % 2 == 0) times.push_back(turn());
      base_times.push_back(base_turn());
      if (round % 2 != 0) times.push_back(turn());
      ratios.push_back(times.back() / base_times.back());
    }
    state.SetIterationTime(quantile(times, 0.5));
    count(state, "ratio", ratios);
    state.counters["base_seconds"] = quantile(base_times, 0.5);
    state.counters["others"] = load.others();
    state.counters["rounds"] = rounds;
  }
}

/// One call by itself.
template <class Call>
void measure_alone(benchmark::State& state, const Call& call) {
  for (auto _ : state) {
    const Load load;
    const Turn turn(call);
    std::vector<double> times;
    for (int round = rounds_for(turn.length()); round > 0; --round) times.push_back(turn());
    state.counters["others"] = load.others();
    state.SetIterationTime(quantile(times, 0.5));
    state.counters["rounds"] = static_cast<double>(times.size());
  }
}

}  // namespace bench
