#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "coca/cache/cache_options.hpp"
#include "coca/core/error.hpp"
#include "coca/kernel/panels.hpp"

namespace coca::inline v0::detail {

/// The sequences of a cache by their names: what each holds, as the cache sees it (Held) and as the
/// kernels do.
template <class Held>
class SequenceTable {
 public:
  SequenceId add(Held held) {
    if (free_.empty()) {
      free_.reserve(held_.size() + 1);
      views_.reserve(held_.size() + 1);
      held_.push_back(std::move(held));
      views_.emplace_back();
      used_.push_back(1);
      return static_cast<SequenceId>(held_.size()) - 1;
    }
    const SequenceId id = free_.back();
    free_.pop_back();
    held_[at(id)] = std::move(held);
    views_[at(id)] = {};
    used_[at(id)] = 1;
    return id;
  }
  void drop(SequenceId id) {
    held_[at(id)] = Held{};
    views_[at(id)] = {};
    used_[at(id)] = 0;
    free_.push_back(id);
  }

  void check(SequenceId id) const {
    if (id >= 0 && at(id) < used_.size() && used_[at(id)] != 0) return;
    reject("sequence", std::to_string(id), "one that was added, and not dropped");
  }

  Held& held(SequenceId id) { return held_[at(id)]; }
  const Held& held(SequenceId id) const { return held_[at(id)]; }
  PanelSequence& view(SequenceId id) { return views_[at(id)]; }
  const PanelSequence& view(SequenceId id) const { return views_[at(id)]; }
  const PanelSequence* views() const { return views_.data(); }

 private:
  static std::size_t at(SequenceId id) { return static_cast<std::size_t>(id); }

  std::vector<Held> held_;
  std::vector<PanelSequence> views_;
  std::vector<char> used_;  ///< 1: a sequence, 0: none (of bool, a vector takes longer to compile)
  std::vector<SequenceId> free_;
};

/// That all of some sequences are there, and none twice.
template <class Held>
void check_ids(const SequenceTable<Held>& table, std::span<const SequenceId> ids, bool distinct) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    table.check(ids[i]);
    for (std::size_t j = 0; distinct && j < i; ++j) {
      if (ids[i] == ids[j]) {
        reject("sequences[" + std::to_string(i) + "]", std::to_string(ids[i]),
               "a sequence that is not named before");
      }
    }
  }
}

}  // namespace coca::inline v0::detail
