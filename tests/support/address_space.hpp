#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>

namespace test {

/// Addresses that cost no memory until they are written to, so that a tensor may be larger than the
/// machine. Zeros.
class AddressSpace {
 public:
  explicit AddressSpace(std::size_t bytes) : bytes_(bytes) {
#if defined(__linux__)
    void* first = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (first != MAP_FAILED) first_ = first;
#endif
  }
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  ~AddressSpace() {
#if defined(__linux__)
    if (first_ != nullptr) munmap(first_, bytes_);
#endif
  }

  /// Null where the system refuses.
  template <class T>
  T* as() const {
    return static_cast<T*>(first_);
  }

 private:
  std::size_t bytes_;
  void* first_ = nullptr;
};

}  // namespace test
