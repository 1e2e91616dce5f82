#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

/// For fuzzers of readers, each a program of one source file.

// A forged header may ask for more memory than there is. There the sanitizer's operator new would end
// the program, where the system's throws.
constexpr std::size_t kMostBytes = std::size_t{1} << 28;
void* operator new(std::size_t bytes) {
  void* memory = bytes > kMostBytes ? nullptr : ::operator new(bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new[](std::size_t bytes) {
  void* memory = bytes > kMostBytes ? nullptr : ::operator new[](bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

namespace fuzz {

/// A file of these bytes, in memory.
class File {
 public:
  File(const std::uint8_t* data, std::size_t size) : descriptor_(memfd_create("fuzz", 0)) {
    if (descriptor_ < 0 || write(descriptor_, data, size) != static_cast<ssize_t>(size)) {
      std::abort();
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(descriptor_); }

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace fuzz
