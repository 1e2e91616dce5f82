#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "coca/cache/page_pool.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION Slab::Slab(std::size_t bytes)
    : alignment_(bytes < kLargePiece ? kAlignment : kLargePiece) {
  memory_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment_}));
#if defined(__linux__)
  // No more than a hint: where it is refused, memory is as it was.
  if (alignment_ == kLargePiece) madvise(memory_, bytes, MADV_HUGEPAGE);
#endif
}

COCA_FUNCTION Slab::~Slab() { ::operator delete (memory_, std::align_val_t{alignment_}); }

COCA_FUNCTION Index PagePool::left() const {
  return most_ == 0 ? std::numeric_limits<Index>::max()
                    : most_ - made_ + static_cast<Index>(free_.size());
}

COCA_FUNCTION std::byte* PagePool::take() {
  if (free_.empty()) make_page();
  std::byte* page = free_.back();
  users_[page] = 1;
  free_.pop_back();
  return page;
}

COCA_FUNCTION void PagePool::share(std::byte* page) { ++users_[page]; }

COCA_FUNCTION Index PagePool::users(std::byte* page) const { return users_.at(page); }

COCA_FUNCTION void PagePool::give_back(std::byte* page) {
  if (--users_[page] == 0) free_.push_back(page);
}

COCA_FUNCTION void PagePool::make_page() {
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

COCA_FUNCTION PageReserve::~PageReserve() {
  for (std::byte* page : pages_) pool_.give_back(page);
}

COCA_FUNCTION void PageReserve::fill(Index pages) {
  pages_.reserve(static_cast<std::size_t>(pages));
  for (Index i = 0; i < pages; ++i) pages_.push_back(pool_.take());
}

}  // namespace coca::inline v0::detail
