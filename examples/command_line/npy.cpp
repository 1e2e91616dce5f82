#include "command_line/npy.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>

// The headers of xtensor 0.24 do not compile without warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <xtensor/xnpy.hpp>
#pragma GCC diagnostic pop

namespace command_line {

namespace {

struct Known {
  DType dtype;
  const char* name;
  const char* descr;  ///< what the file's header calls it
};

constexpr std::array<Known, 5> kKnown{{{DType::float16, "float16", "<f2"},
                                       {DType::float32, "float32", "<f4"},
                                       {DType::float64, "float64", "<f8"},
                                       {DType::int64, "int64", "<i8"},
                                       {DType::boolean, "bool", "|b1"}}};

const Known& known(DType dtype) {
  for (const Known& entry : kKnown) {
    if (entry.dtype == dtype) return entry;
  }
  throw FileError("unknown element type");
}

/// xtensor multiplies the extents of a header without a look at the result: a forged one may claim
/// far more elements than the file and the memory behind it hold.
template <class Shape>
void require_holdable(const std::string& path, const Shape& shape) {
  constexpr std::size_t most = std::numeric_limits<std::int64_t>::max() / sizeof(double);
  std::size_t elements = 1;
  for (const std::size_t extent : shape) {
    if (extent > most / elements) throw FileError(path + " is of a shape that no memory holds");
    elements *= std::max<std::size_t>(extent, 1);  // extents beside a 0 become strides all the same
  }
}

}  // namespace

const char* name_of(DType dtype) { return known(dtype).name; }

void Array::require(DType wanted, std::size_t rank) const {
  if (dtype != wanted) {
    throw FileError(path + " holds " + name_of(dtype) + ", expected " + name_of(wanted));
  }
  if (shape.size() != rank) {
    throw FileError(path + " has " + std::to_string(shape.size()) + " axes, expected " +
                    std::to_string(rank));
  }
}

bool Array::is_matrix() const {
  if (shape.size() != 2 && shape.size() != 4) {
    throw FileError(path + " has " + std::to_string(shape.size()) + " axes, expected 4 or 2");
  }
  return shape.size() == 2;
}

Array read_npy(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw FileError(path + " cannot be opened");
  // xtensor makes use of what it read, whether or not there was as much as it asked for.
  stream.exceptions(std::ios::failbit | std::ios::badbit);
  try {
    // xtensor's public reader wants the element type beforehand; the layer below it tells.
    const auto file = xt::detail::load_npy_file(stream);
    require_holdable(path, file.m_shape);
    Array array;
    array.path = path;
    array.fortran_order = file.m_fortran_order;
    array.shape.assign(file.m_shape.begin(), file.m_shape.end());
    array.bytes.resize(file.m_n_bytes);
    if (file.m_n_bytes > 0) std::memcpy(array.bytes.data(), file.m_buffer, file.m_n_bytes);
    for (const Known& entry : kKnown) {
      if (file.m_typestring != entry.descr) continue;
      array.dtype = entry.dtype;
      if (array.dtype == DType::boolean) {
        // A bool that is neither 0 nor 1 would be none to the compiler.
        for (std::byte& one : array.bytes) one = std::byte{one != std::byte{0}};
      }
      return array;
    }
    throw FileError(path + " holds elements of type '" + file.m_typestring +
                    "', expected float16, float32, float64, int64 or bool, little-endian");
  } catch (const FileError&) {
    throw;
  } catch (const std::ios::failure&) {
    throw FileError(path + " ends before its data does");
  } catch (const std::bad_alloc&) {
    throw FileError(path + " is of a shape that no memory holds");
  } catch (const std::exception& error) {
    throw FileError(path + " is not a .npy file: " + error.what());
  }
}

template <class T>
void write_npy(const PendingFile& file, const std::vector<coca::Index>& shape,
               const std::vector<T>& values) {
  file.write([&](std::ostream& stream) {
    // xtensor has no name for half, so the header is written for the type by its own name.
    const std::vector<std::size_t> extents(shape.begin(), shape.end());
    xt::detail::write_header(stream, known(dtype_of<T>()).descr, false, extents);
    stream.write(reinterpret_cast<const char*>(values.data()),
                 static_cast<std::streamsize>(values.size() * sizeof(T)));
  });
}

template void write_npy(const PendingFile&, const std::vector<coca::Index>&,
                        const std::vector<Eigen::half>&);
template void write_npy(const PendingFile&, const std::vector<coca::Index>&,
                        const std::vector<float>&);
template void write_npy(const PendingFile&, const std::vector<coca::Index>&,
                        const std::vector<double>&);

}  // namespace command_line
