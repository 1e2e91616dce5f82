#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "command_line/npy.hpp"

/// The reader of .npy files under any file: it gives an array as large as its shape says, or throws
/// FileError.

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

namespace {

using command_line::Array;
using command_line::DType;

std::size_t element_bytes(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return 1;
    case DType::float16:
      return 2;
    case DType::float32:
      return 4;
    default:
      return 8;
  }
}

/// The last element of what programs make of an array, if they accept it.
template <class T>
void look_at(const Array& array) {
  try {
    const auto tensor = array.tensor<T>();
    if (tensor.empty()) return;
    const T last =
        tensor(tensor.shape[0] - 1, tensor.shape[1] - 1, tensor.shape[2] - 1, tensor.shape[3] - 1);
    volatile bool number = last == last;
    static_cast<void>(number);
  } catch (const command_line::FileError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int file = memfd_create("npy", 0);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const Array array = command_line::read_npy("/proc/self/fd/" + std::to_string(file));
    std::size_t expected = element_bytes(array.dtype);
    for (const coca::Index extent : array.shape) expected *= static_cast<std::size_t>(extent);
    if (array.bytes.size() != expected) {
      std::fprintf(stderr, "fuzz: %zu bytes, expected %zu\n", array.bytes.size(), expected);
      std::abort();
    }
    look_at<Eigen::half>(array);
    look_at<float>(array);
    look_at<double>(array);
    look_at<coca::Position>(array);
    look_at<bool>(array);
  } catch (const command_line::FileError&) {
  }
  close(file);
  return 0;
}
