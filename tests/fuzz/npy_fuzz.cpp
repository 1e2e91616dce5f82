#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "command_line/npy.hpp"
#include "fuzz/file.hpp"

/// The reader of .npy files under any file: it gives an array as large as its shape says, or throws
/// FileError.
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
  const fuzz::File file(data, size);
  try {
    const Array array = command_line::read_npy(file.path());
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
  return 0;
}
