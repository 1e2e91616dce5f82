#pragma once

#include <coca/core/scalar.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "command_line/file.hpp"

/// .safetensors files: the length of a header (8 bytes, little-endian), the header, JSON of every
/// tensor's name, type, shape and place, and after it the numbers, row-major and little-endian
/// (https://huggingface.co/docs/safetensors).
namespace hugging_face {

using command_line::FileError;
using Shape = std::vector<coca::Index>;
using Metadata = std::map<std::string, std::string>;

/// What a header says of a tensor.
struct TensorInfo {
  std::string dtype;  ///< as the format has it: "F32", "BF16", "I64", ...
  Shape shape;
  std::uint64_t begin = 0, end = 0;  ///< its bytes, from the first one after the header
};

/// A file whose header has been read and checked; numbers are read when they are asked for.
class SafetensorsFile {
 public:
  /// Throws FileError, which names the file and what is wrong with it, where it cannot be read or is
  /// not of the format: a length that the file does not have, a header that is not JSON of the form
  /// above or has a name twice, an unknown type, a shape that no memory holds or that does not take
  /// the bytes its tensor has, tensors that overlap, leave a gap or end elsewhere than the file.
  explicit SafetensorsFile(std::string path);

  const std::string& path() const { return path_; }
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }

  /// The numbers of a tensor of F64, F32, BF16 or F16, row-major, as T, which is float or double.
  /// Throws FileError for a tensor that is not there, is of another type or, where a shape is given,
  /// of another shape.
  template <class T>
  std::vector<T> read(const std::string& name) const;
  template <class T>
  std::vector<T> read(const std::string& name, const Shape& shape) const;

 private:
  const TensorInfo& info(const std::string& name) const;

  std::string path_;
  std::uint64_t data_begin_ = 0;  ///< where the numbers begin in the file
  std::map<std::string, TensorInfo> tensors_;
  Metadata metadata_;
};

/// Tensors on their way to a file.
class SafetensorsWriter {
 public:
  /// Adds a tensor, its row-major values rounded to `type`: float64, float32, bfloat16 or float16. T
  /// is float or double. Throws std::invalid_argument for another type, a name that is
  /// taken, and a shape that does not have as many elements as there are values.
  template <class T>
  void add(const std::string& name, const Shape& shape, std::span<const T> values,
           coca::ElementType type);

  /// Writes all of them. What stood at `path` is replaced when the new file is complete, not before.
  /// Throws FileError if that cannot be done, and std::invalid_argument for a name or a text that is
  /// not UTF-8.
  void write(const std::string& path, const Metadata& metadata = {}) const;

 private:
  struct Tensor {
    coca::ElementType type;
    Shape shape;
    std::vector<char> bytes;
  };

  std::map<std::string, Tensor> tensors_;
};

}  // namespace hugging_face
