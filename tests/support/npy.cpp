#include "support/npy.hpp"

// The header of xtensor 0.24 does not compile without warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <xtensor/xadapt.hpp>
#include <xtensor/xnpy.hpp>
#pragma GCC diagnostic pop

namespace test {

namespace {

template <class T>
Npy read(const std::string& path) {
  const auto array = xt::load_npy<T>(path);
  Npy result;
  for (const auto extent : array.shape()) result.shape.push_back(static_cast<coca::Index>(extent));
  for (const T value : array) result.values.push_back(static_cast<double>(value));
  return result;
}

}  // namespace

Npy read_npy(const std::string& path) {
  try {
    return read<float>(path);
  } catch (const std::runtime_error&) {
    return read<double>(path);
  }
}

void write_npy(const std::string& path, const std::vector<coca::Index>& shape,
               const std::vector<float>& values) {
  const std::vector<std::size_t> extents(shape.begin(), shape.end());
  xt::dump_npy(path, xt::adapt(values, extents));
}

}  // namespace test
