#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <stdexcept>

#include "instruction_sets/library.hpp"
#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// Must a program be built for its processor: one built with -O2 alone against one built with
/// -march=native, both loaded here.
namespace {

using bench::Index;

class Library {
 public:
  explicit Library(const char* file) : handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
    attention = reinterpret_cast<LibraryAttention*>(dlsym(handle_, "library_attention"));
    flags = reinterpret_cast<LibraryFlags*>(dlsym(handle_, "library_flags"))();
  }

  LibraryAttention* attention = nullptr;
  std::string flags;

 private:
  void* handle_;
};

const Library& plain_library() {
  static const Library library(PLAIN_LIBRARY);
  return library;
}
const Library& native_library() {
  static const Library library(NATIVE_LIBRARY);
  return library;
}

/// Counter "ratio": time of the plain build over that of the native one.
void plain_against_native(benchmark::State& state, const char* scheme, const bench::Shape& shape) {
  const bool strict = std::string_view(scheme) == "strict";
  bench::Problem<float> p(shape, strict ? shape.dim / 2 : shape.dim);
  const LibraryCall call{scheme,       p.out.data(), p.q.data(),      p.k.data(), p.v.data(),
                         shape.length, shape.heads,  shape.key_heads, shape.dim};
  bench::measure_pair(
      state, [&] { plain_library().attention(&call); }, [&] { native_library().attention(&call); });
}

void add_rows() {
  using Lengths = std::vector<Index>;
  benchmark::AddCustomContext("plain flags", plain_library().flags);
  benchmark::AddCustomContext("native flags", native_library().flags);
  for (const char* scheme : {"dot", "strict"}) {
    for (const Index dim : {64, 128}) {
      for (const Index length :
           bench::quick ? Lengths{17, 512, 2048} : Lengths{17, 512, 2048, 8192}) {
        const bench::Shape shape{length, dim, 4, 1, true};
        bench::add(std::string("instruction_sets/scheme:") + scheme + "/" + shape.name(),
                   [=](benchmark::State& state) { plain_against_native(state, scheme, shape); });
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
