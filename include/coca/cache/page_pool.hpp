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
  explicit Slab(std::size_t bytes);
  Slab(Slab&& other) noexcept
      : alignment_(other.alignment_), memory_(std::exchange(other.memory_, nullptr)) {}
  Slab& operator=(Slab&&) = delete;
  ~Slab();

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
  Index left() const;
  /// Pages in use, and the bytes of these and of those kept for later.
  Index used() const { return made_ - static_cast<Index>(free_.size()); }
  std::size_t bytes() const { return static_cast<std::size_t>(made_) * page_bytes_; }

  /// A page of its own for one sequence. The caller has asked `left`.
  std::byte* take();
  void share(std::byte* page);
  /// How many sequences hold a page.
  Index users(std::byte* page) const;
  bool shared(std::byte* page) const { return users(page) > 1; }
  void give_back(std::byte* page);

 private:
  static constexpr std::size_t kMostSlabBytes = std::size_t{32} << 20;

  /// Puts a new page among the free ones.
  void make_page();

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
  ~PageReserve();

  void fill(Index pages);
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

#ifndef COCA_COMPILED
#include "coca/cache/page_pool-inl.hpp"
#endif
