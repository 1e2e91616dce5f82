#define EIGEN_USE_THREADS
#include "language_model/train.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "command_line/file.hpp"
#include "command_line/progress_bar.hpp"
#include "language_model/checkpoint.hpp"
#include "language_model/corpus.hpp"
#include "language_model/gradient.hpp"
#include "language_model/optimizer.hpp"

namespace language_model {
namespace {

/// Sequences that are worked on together. A batch is cut into as many parts as it takes, whose gradients
/// are added in order, so that the threads do not matter.
constexpr Index kPartSequences = 4;

class Trainer {
 public:
  explicit Trainer(const Training& training)
      : training_(training),
        corpus_(training.text),
        state_{random_model(training.config, training.seed), AdamW(training.config)},
        pool_(training.threads) {
    const Index parts = (training.sequences + kPartSequences - 1) / kPartSequences;
    gradients_.assign(static_cast<std::size_t>(parts), Parameters(training.config));
  }

  void run() {
    std::filesystem::create_directories(training_.out);
    if (std::filesystem::exists(state_path())) load(state_, state_path());
    std::ofstream log = open_log();
    command_line::ProgressBar bar(training_.steps);
    const CosineSchedule rate{.peak = training_.rate, .steps = training_.steps};
    const auto start = std::chrono::steady_clock::now();
    const Index first = state_.step;
    while (state_.step < training_.steps && state_.step - first < training_.stop_after) {
      const double loss = add_all_gradients();
      const double norm = clip(gradients_.front(), 1.0);
      state_.optimizer.update(state_.model.parameters, gradients_.front(), state_.step,
                              rate(state_.step));
      ++state_.step;
      const double seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const double per_step = seconds / static_cast<double>(state_.step - first);
      const double tokens =
          static_cast<double>(training_.sequences * training_.config.trained_length);
      log << state_.step << ',' << loss << ',' << rate(state_.step - 1) << ',' << norm << ','
          << tokens / per_step << '\n';
      char text[96];
      std::snprintf(text, sizeof text, "loss %.3f, %.0f tokens/s, %.0f s left", loss,
                    tokens / per_step,
                    per_step * static_cast<double>(training_.steps - state_.step));
      bar.show(state_.step, std::string(text));
      if (state_.step % training_.save_every == 0) {
        log.flush();
        save(state_, state_path());
      }
    }
    if (state_.step < training_.steps) return save(state_, state_path());
    save(state_.model, training_.out);
    std::filesystem::remove(state_path());
  }

 private:
  std::string state_path() const { return training_.out + "/state.safetensors"; }

  /// The log up to the step that the state is at.
  std::ofstream open_log() const {
    const std::string path = training_.out + "/log.csv";
    std::string kept = "step,loss,rate,gradient_norm,tokens_per_second\n";
    if (std::ifstream old(path); old && state_.step > 0) {
      std::string line;
      std::getline(old, line);
      for (Index step = 0; step < state_.step && std::getline(old, line); ++step)
        kept += line + '\n';
    }
    std::ofstream log(path);
    log << kept;
    if (!log) throw command_line::FileError(path + ": cannot be written");
    return log;
  }

  /// The loss of a step's batch; its gradient is then in the first of gradients_.
  double add_all_gradients() {
    const double share = state_.step < training_.passkeys_first ? 1.0 : training_.passkey_share;
    const Batch batch =
        make_batch(corpus_.training(), training_.sequences, training_.config.trained_length, share,
                   training_.seed, static_cast<std::uint64_t>(state_.step));
    std::vector<double> losses(gradients_.size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t i = next++; i < gradients_.size(); i = next++) {
        for (const auto& [name, matrix] : gradients_[i].named()) matrix->setZero();
        const Batch part = part_of(batch, static_cast<Index>(i));
        losses[i] = add_gradient(
            state_.model, part,
            static_cast<double>(part.sequences()) / static_cast<double>(training_.sequences),
            gradients_[i]);
      }
    };
    Eigen::Barrier others(static_cast<unsigned>(training_.threads - 1));
    for (int thread = 1; thread < training_.threads; ++thread) {
      pool_.Schedule([&] {
        work();
        others.Notify();
      });
    }
    work();
    others.Wait();
    double loss = losses[0];
    for (std::size_t i = 1; i < gradients_.size(); ++i) {
      loss += losses[i];
      const auto to = gradients_[0].named();
      const auto from = gradients_[i].named();
      for (std::size_t j = 0; j < to.size(); ++j) *to[j].second += *from[j].second;
    }
    return loss;
  }

  Batch part_of(const Batch& batch, Index part) const {
    const Index begin = part * kPartSequences * batch.length;
    const Index end =
        std::min(begin + kPartSequences * batch.length, static_cast<Index>(batch.inputs.size()));
    return {batch.length, Text(batch.inputs.begin() + begin, batch.inputs.begin() + end),
            Text(batch.targets.begin() + begin, batch.targets.begin() + end)};
  }

  const Training& training_;
  Corpus corpus_;
  TrainingState state_;
  std::vector<Parameters> gradients_;  ///< of the parts of a batch
  Eigen::ThreadPool pool_;
};

}  // namespace

void train(const Training& training) { Trainer(training).run(); }

}  // namespace language_model
