#pragma once

#include <algorithm>
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

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace coca::inline v0::detail {

/// Memory for pages, which the system is asked to map in large pieces: reading a cache from front to
/// back would otherwise wait for its page table.
class Slab {
 public:
  explicit Slab(std::size_t bytes) : alignment_(bytes < kLargePiece ? kAlignment : kLargePiece) {
    memory_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment_}));
#if defined(__linux__)
    // No more than a hint: where it is refused, memory is as it was.
    if (alignment_ == kLargePiece) madvise(memory_, bytes, MADV_HUGEPAGE);
#endif
  }
  Slab(Slab&& other) noexcept
      : alignment_(other.alignment_), memory_(std::exchange(other.memory_, nullptr)) {}
  Slab& operator=(Slab&&) = delete;
  ~Slab() { ::operator delete (memory_, std::align_val_t{alignment_}); }

  std::byte* memory() const { return memory_; }

 private:
  static constexpr std::size_t kLargePiece = std::size_t{2} << 20;

  std::size_t alignment_;
  std::byte* memory_;
};

/// Pages of one size, which several sequences may share. Taken from the heap, many at a time, when
/// first needed, and kept.
class PagePool {
 public:
  /// At most `most` pages; 0: as many as there is memory for.
  PagePool(std::size_t page_bytes, Index most) : page_bytes_(page_bytes), most_(most) {}

  /// How many pages can still be taken.
  Index left() const {
    return most_ == 0 ? std::numeric_limits<Index>::max()
                      : most_ - made_ + static_cast<Index>(free_.size());
  }
  /// Pages in use, and the bytes of these and of those kept for later.
  Index used() const { return made_ - static_cast<Index>(free_.size()); }
  std::size_t bytes() const { return static_cast<std::size_t>(made_) * page_bytes_; }

  /// A page of its own for one sequence. The caller has asked `left`.
  std::byte* take() {
    if (free_.empty()) make_page();
    std::byte* page = free_.back();
    users_[page] = 1;
    free_.pop_back();
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
  static constexpr std::size_t kMostSlabBytes = std::size_t{32} << 20;

  /// Puts a new page among the free ones.
  void make_page() {
    if (slab_left_ == 0) {
      // As much again as there is, so that a small cache stays small.
      Index pages = std::clamp<Index>(static_cast<Index>(kMostSlabBytes / page_bytes_), 1,
                                      std::max<Index>(made_, 1));
      if (most_ != 0) pages = std::min(pages, most_ - made_);
      free_.reserve(static_cast<std::size_t>(made_ + pages));
      slabs_.reserve(slabs_.size() + 1);
      slabs_.emplace_back(static_cast<std::size_t>(pages) * page_bytes_);
      slab_left_ = pages;
      next_ = slabs_.back().memory();
    }
    // What no token has been written to must still be numbers.
    std::memset(next_, 0, page_bytes_);
    free_.push_back(next_);
    next_ += page_bytes_;
    --slab_left_;
    ++made_;
  }

  std::size_t page_bytes_;
  Index most_;
  std::vector<Slab> slabs_;
  std::byte* next_ =
      nullptr;  ///< the page to be made next, of as many as are left of the last slab
  Index slab_left_ = 0;
  Index made_ = 0;
  std::vector<std::byte*> free_;
  std::unordered_map<std::byte*, Index> users_;
};

/// Pages taken from a pool before they are needed; those left over go back.
class PageReserve {
 public:
  explicit PageReserve(PagePool& pool) : pool_(pool) {}
  PageReserve(const PageReserve&) = delete;
  PageReserve& operator=(const PageReserve&) = delete;
  ~PageReserve() {
    for (std::byte* page : pages_) pool_.give_back(page);
  }

  void fill(Index pages) {
    pages_.reserve(static_cast<std::size_t>(pages));
    for (Index i = 0; i < pages; ++i) pages_.push_back(pool_.take());
  }
  std::byte* take() {
    std::byte* page = pages_.back();
    pages_.pop_back();
    return page;
  }

 private:
  PagePool& pool_;
  std::vector<std::byte*> pages_;
};

}  // namespace coca::inline v0::detail
