#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"

/// Work memory: taken once, kept, and handed out in aligned pieces.
namespace coca::inline v0::detail {

/// Every piece starts on a cache line, which is also the widest vector register.
inline constexpr std::size_t kAlignment = 64;

constexpr std::size_t aligned_bytes(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Hands out pieces of a block from front to back. With no block it only adds up the bytes, so the
/// same code that lays out the work memory also says how much is needed.
class Carver {
 public:
  explicit Carver(std::byte* block = nullptr) : block_(block) {}

  template <class T>
  T* take(Index count) {
    std::byte* piece = block_ == nullptr ? nullptr : block_ + bytes_;
    // A gap, lest two pieces that are walked together lie a multiple of a page apart: caches and
    // store buffers tell addresses apart by their low bits first.
    bytes_ += aligned_bytes(static_cast<std::size_t>(count) * sizeof(T)) + 3 * kAlignment;
    return reinterpret_cast<T*>(piece);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* block_;
  std::size_t bytes_ = 0;
};

/// A block that only grows.
class Arena {
 public:
  std::byte* reserve(std::size_t bytes) {
    if (bytes > size_) {
      size_ = 0;  // stays right should the next line throw
      block_.reset();
      block_.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlignment})));
      size_ = bytes;
    }
    return block_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* block) const {
      ::operator delete (block, std::align_val_t{kAlignment});
    }
  };
  std::unique_ptr<std::byte, Free> block_;
  std::size_t size_ = 0;
};

/// The calling thread's block. The caller's, not the worker's: which pool thread will take part is
/// not known beforehand, and a warm call must not allocate whichever does.
inline Arena& thread_arena() {
  thread_local Arena arena;
  return arena;
}

/// Work memory of so many bytes, aligned: the caller's, if there is some, else the thread's own.
inline std::byte* work_memory(std::span<std::byte> callers, std::size_t bytes) {
  if (callers.empty()) return thread_arena().reserve(bytes);
  void* first = callers.data();
  std::size_t space = callers.size();
  void* aligned = std::align(kAlignment, bytes, first, space);
  if (aligned == nullptr) {
    reject("options.workspace.size()", static_cast<Index>(callers.size()),
           {"what coca::workspace_bytes says, ", static_cast<Index>(bytes + kAlignment - 1)});
  }
  return static_cast<std::byte*>(aligned);
}

}  // namespace coca::inline v0::detail
