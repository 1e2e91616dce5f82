#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fuzz/file.hpp"
#include "hugging_face/safetensors.hpp"

/// The reader of .safetensors files under any file: it gives tensors as large as their shapes say,
/// which are in the file, or throws FileError.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::File file(data, size);
  try {
    const hugging_face::SafetensorsFile tensors(file.path());
    for (const auto& [name, info] : tensors.tensors()) {
      std::uint64_t elements = 1;
      for (const coca::Index extent : info.shape) elements *= static_cast<std::uint64_t>(extent);
      if (info.begin > info.end || info.end > size) {
        std::fprintf(stderr, "fuzz: %s is beyond the file\n", name.c_str());
        std::abort();
      }
      try {
        const auto values = tensors.read<float>(name, info.shape);
        if (values.size() != elements) {
          std::fprintf(stderr, "fuzz: %zu numbers\n", values.size());
          std::abort();
        }
        volatile bool number = !values.empty() && values.back() == values.back();
        static_cast<void>(number);
      } catch (const hugging_face::FileError&) {
        // Of a type that is no number.
      }
    }
  } catch (const hugging_face::FileError&) {
  }
  return 0;
}
