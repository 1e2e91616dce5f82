#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"

namespace coca::inline v0::detail {

/// Pages of one size, which several sequences may share. Taken from the heap when first needed, and
/// kept.
class PagePool {
 public:
  /// At most `most` pages; 0: as many as there is memory for.
  PagePool(std::size_t page_bytes, Index most) : page_bytes_(page_bytes), most_(most) {}

  /// How many pages can still be taken.
  Index left() const {
    return most_ == 0
               ? std::numeric_limits<Index>::max()
               : most_ - static_cast<Index>(pages_.size()) + static_cast<Index>(free_.size());
  }
  /// Pages in use, and those kept for later.
  Index used() const { return static_cast<Index>(pages_.size() - free_.size()); }
  std::size_t bytes() const { return pages_.size() * page_bytes_; }

  /// A page of its own for one sequence. The caller has asked `left`.
  std::byte* take() {
    if (free_.empty()) {
      std::unique_ptr<std::byte, Free> page(
          static_cast<std::byte*>(::operator new (page_bytes_, std::align_val_t{kAlignment})));
      users_.reserve(pages_.size() + 1);
      pages_.reserve(pages_.size() + 1);
      free_.reserve(pages_.capacity());
      // What no token has been written to must still be numbers.
      std::memset(page.get(), 0, page_bytes_);
      users_[page.get()] = 1;
      pages_.push_back(std::move(page));
      return pages_.back().get();
    }
    std::byte* page = free_.back();
    free_.pop_back();
    users_[page] = 1;
    return page;
  }
  void share(std::byte* page) { ++users_[page]; }
  /// How many sequences hold a page.
  Index users(std::byte* page) const { return users_.at(page); }
  bool shared(std::byte* page) const { return users(page) > 1; }
  void give_back(std::byte* page) {
    if (--users_[page] == 0) free_.push_back(page);
  }

 private:
  struct Free {
    void operator()(std::byte* page) const {
      ::operator delete (page, std::align_val_t{kAlignment});
    }
  };

  std::size_t page_bytes_;
  Index most_;
  std::vector<std::unique_ptr<std::byte, Free>> pages_;
  std::vector<std::byte*> free_;
  std::unordered_map<std::byte*, Index> users_;
};

}  // namespace coca::inline v0::detail
