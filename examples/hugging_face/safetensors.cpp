#include "hugging_face/safetensors.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "command_line/require.hpp"

namespace hugging_face {

namespace {

using coca::ElementType;
using coca::Index;
using command_line::require;
using command_line::text_of;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "numbers are read as they are stored");

constexpr const char* kMetadata = "__metadata__";
constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // as in the format's own library

struct DType {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array<DType, 16> kDTypes{{{"F64", 8},
                                         {"F32", 4},
                                         {"BF16", 2},
                                         {"F16", 2},
                                         {"I64", 8},
                                         {"I32", 4},
                                         {"I16", 2},
                                         {"I8", 1},
                                         {"U64", 8},
                                         {"U32", 4},
                                         {"U16", 2},
                                         {"U8", 1},
                                         {"BOOL", 1},
                                         {"F8_E4M3", 1},
                                         {"F8_E5M2", 1},
                                         {"C64", 8}}};

/// The name of a type in a header; empty for one that is not written.
std::string_view name_of(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return "F64";
    case ElementType::float32:
      return "F32";
    case ElementType::bfloat16:
      return "BF16";
    case ElementType::float16:
      return "F16";
    default:
      return "";
  }
}

/// Calls `use` with a zero of the type a header names, and says whether it is one of them.
template <class Use>
bool with_stored_type(std::string_view name, const Use& use) {
  if (name == "F64") {
    use(double{});
  } else if (name == "F32") {
    use(float{});
  } else if (name == "BF16") {
    use(Eigen::bfloat16{});
  } else if (name == "F16") {
    use(Eigen::half{});
  } else {
    return false;
  }
  return true;
}

/// The elements of a tensor, or -1 for a shape that no memory holds. Extents beside a 0 count too, as
/// they become strides.
Index elements(const Shape& shape) {
  constexpr Index most = std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(double));
  Index all = 1;
  bool empty = false;
  for (const Index extent : shape) {
    if (extent < 0 || extent > most / all) return -1;
    all *= std::max<Index>(extent, 1);
    empty = empty || extent == 0;
  }
  return empty ? 0 : all;
}

/// JSON without what nlohmann's parser lets pass: a name that comes twice in an object, of which it
/// would keep the last.
json parse_once(const std::string& text) {
  std::vector<std::set<std::string>> names;  // of the objects that are open
  return json::parse(text, [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > 3) throw FileError("is nested too deeply");
    if (event == json::parse_event_t::object_start) names.emplace_back();
    if (event == json::parse_event_t::object_end) names.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names.back().insert(name).second) throw FileError("has " + name + " twice");
    }
    return true;
  });
}

/// The beginning of a value, for a message.
std::string brief(const json& value) {
  constexpr std::size_t most = 80;
  const std::string text = value.dump();
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

/// A member of an object that must be there.
const json& member(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) throw FileError(std::string("has no ") + name);
  return *at;
}

/// A list of numbers from 0 to the largest Index.
Shape index_list(const json& list, const char* name) {
  const auto is_index = [](const json& value) {
    return value.is_number_unsigned() &&
           value.get<std::uint64_t>() <=
               static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  };
  if (!list.is_array() || !std::ranges::all_of(list, is_index)) {
    throw FileError(std::string("has a ") + name + " that is " + brief(list) +
                    ", expected a list of whole numbers from 0 on");
  }
  return list.get<Shape>();
}

/// A tensor's entry in a header, which must be right in itself.
TensorInfo parse_info(const json& entry) {
  if (!entry.is_object()) throw FileError("is " + brief(entry) + ", expected an object");
  const json& dtype = member(entry, "dtype");
  const auto known = std::ranges::find_if(
      kDTypes, [&](const DType& d) { return dtype == json(std::string(d.name)); });
  if (known == kDTypes.end()) throw FileError("is of the unknown type " + brief(dtype));

  const Shape shape = index_list(member(entry, "shape"), "shape");
  const Shape offsets = index_list(member(entry, "data_offsets"), "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    throw FileError("has data_offsets that are " + text_of(offsets) +
                    ", expected a begin and an end");
  }
  const Index count = elements(shape);
  if (count < 0) {
    throw FileError("is of shape " + text_of(shape) + ", which no memory holds");
  }
  const std::uint64_t bytes = static_cast<std::uint64_t>(count) * known->bytes;
  const auto given = static_cast<std::uint64_t>(offsets[1] - offsets[0]);
  if (given != bytes) {
    throw FileError("has " + std::to_string(given) + " bytes, expected " + std::to_string(bytes) +
                    " for " + std::string(known->name) + " of shape " + text_of(shape));
  }
  return {std::string(known->name), shape, static_cast<std::uint64_t>(offsets[0]),
          static_cast<std::uint64_t>(offsets[1])};
}

Metadata parse_metadata(const json& entry) {
  if (!entry.is_object() ||
      !std::ranges::all_of(entry, [](const json& value) { return value.is_string(); })) {
    throw FileError("is " + brief(entry) + ", expected an object of texts");
  }
  return entry.get<Metadata>();
}

/// That tensors lie side by side from the first byte to the last one.
void check_places(const std::map<std::string, TensorInfo>& tensors, std::uint64_t data_bytes) {
  std::vector<std::pair<const std::string*, const TensorInfo*>> in_order;
  for (const auto& [name, info] : tensors) in_order.emplace_back(&name, &info);
  std::ranges::sort(in_order, {}, [](const auto& tensor) {
    return std::pair(tensor.second->begin, tensor.second->end);
  });
  std::uint64_t reached = 0;
  for (const auto& [name, info] : in_order) {
    if (info->begin != reached) {
      throw FileError(*name + " begins at byte " + std::to_string(info->begin) + ", expected " +
                      std::to_string(reached) + ", where the one before it ends");
    }
    reached = info->end;
  }
  if (reached != data_bytes) {
    throw FileError("its tensors end at byte " + std::to_string(reached) + ", its data at " +
                    std::to_string(data_bytes));
  }
}

/// Runs a step of reading, and adds to its complaint whose it is.
template <class Step>
auto about(const std::string& what, const Step& step) {
  try {
    return step();
  } catch (const FileError& error) {
    throw FileError(what + " " + error.what());
  } catch (const json::exception& error) {
    throw FileError(what + " is not the JSON it should be: " + error.what());
  }
}

void read_exactly(std::istream& stream, void* to, std::uint64_t bytes) {
  stream.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
  if (!stream) throw FileError("cannot be read to its end");
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::string path) : path_(std::move(path)) {
  std::error_code error;
  const std::uint64_t file_bytes = std::filesystem::file_size(path_, error);
  std::ifstream stream(path_, std::ios::binary);
  if (error || !stream) throw FileError(path_ + " cannot be opened");

  const std::string header = about(path_, [&] {
    if (file_bytes < kLengthBytes) throw FileError("is too short for a .safetensors file");
    std::uint64_t length = 0;
    read_exactly(stream, &length, kLengthBytes);
    const std::uint64_t most = std::min(kMostHeaderBytes, file_bytes - kLengthBytes);
    if (length > most) {
      throw FileError("has a header of " + std::to_string(length) + " bytes, expected at most " +
                      std::to_string(most));
    }
    std::string text(length, '\0');
    read_exactly(stream, text.data(), length);
    return text;
  });
  data_begin_ = kLengthBytes + header.size();

  const json entries = about(path_ + ": its header", [&] {
    if (header.empty() || header.front() != '{') throw FileError("does not begin with {");
    return parse_once(header);
  });
  for (const auto& [name, entry] : entries.items()) {
    about(path_ + ": " + name, [&, &name = name, &entry = entry] {
      if (name == kMetadata) {
        metadata_ = parse_metadata(entry);
      } else {
        tensors_.emplace(name, parse_info(entry));
      }
    });
  }
  about(path_ + ":", [&] { check_places(tensors_, file_bytes - data_begin_); });
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
  const auto at = tensors_.find(name);
  if (at == tensors_.end()) throw FileError(path_ + " has no tensor " + name);
  return at->second;
}

template <class T>
std::vector<T> SafetensorsFile::read(const std::string& name) const {
  const TensorInfo& tensor = info(name);
  std::vector<T> values;
  const bool known = with_stored_type(tensor.dtype, [&]<class Stored>(Stored) {
    std::vector<Stored> stored((tensor.end - tensor.begin) / sizeof(Stored));
    about(path_, [&] {
      std::ifstream stream(path_, std::ios::binary);
      stream.seekg(static_cast<std::streamoff>(data_begin_ + tensor.begin));
      read_exactly(stream, stored.data(), tensor.end - tensor.begin);
    });
    values.resize(stored.size());
    std::ranges::transform(stored, values.begin(), [](Stored x) { return static_cast<T>(x); });
  });
  if (!known) {
    throw FileError(path_ + ": " + name + " holds " + tensor.dtype +
                    ", expected F64, F32, BF16 or F16");
  }
  return values;
}

template <class T>
std::vector<T> SafetensorsFile::read(const std::string& name, const Shape& shape) const {
  const TensorInfo& tensor = info(name);
  if (tensor.shape != shape) {
    throw FileError(path_ + ": " + name + " is of shape " + text_of(tensor.shape) + ", expected " +
                    text_of(shape));
  }
  return read<T>(name);
}

template <class T>
void SafetensorsWriter::add(const std::string& name, const Shape& shape, std::span<const T> values,
                            ElementType type) {
  if (name == kMetadata || tensors_.contains(name)) {
    throw std::invalid_argument("name is " + name + ", expected one that is not taken");
  }
  require(elements(shape) == static_cast<Index>(values.size()), name + ".shape", shape,
          std::to_string(values.size()) + " elements, as there are values");
  std::vector<char> bytes;
  const bool known = with_stored_type(name_of(type), [&]<class Stored>(Stored) {
    bytes.resize(values.size() * sizeof(Stored));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto stored = static_cast<Stored>(values[i]);
      std::memcpy(bytes.data() + i * sizeof(Stored), &stored, sizeof(Stored));
    }
  });
  if (!known) {
    throw std::invalid_argument(name +
                                ".type is int8, expected float64, float32, bfloat16 or float16");
  }
  tensors_.emplace(name, Tensor{type, shape, std::move(bytes)});
}

void SafetensorsWriter::write(const std::string& path, const Metadata& metadata) const {
  // The widest types come first, so that every tensor lies at a multiple of its element's bytes.
  std::vector<std::pair<const std::string*, const Tensor*>> in_order;
  for (const auto& [name, tensor] : tensors_) in_order.emplace_back(&name, &tensor);
  std::ranges::stable_sort(in_order, std::greater<>(), [](const auto& entry) {
    return coca::element_bytes(entry.second->type);
  });

  json header = json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::size_t end = 0;
  for (const auto& [name, tensor] : in_order) {
    const std::size_t begin = std::exchange(end, end + tensor->bytes.size());
    header[*name] = {{"dtype", std::string(name_of(tensor->type))},
                     {"shape", tensor->shape},
                     {"data_offsets", {begin, end}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception& error) {
    throw std::invalid_argument(std::string("a name or metadata is not UTF-8: ") + error.what());
  }
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');

  command_line::PendingFile file(path);
  file.write([&](std::ostream& stream) {
    const std::uint64_t length = text.size();
    stream.write(reinterpret_cast<const char*>(&length), kLengthBytes);
    stream << text;
    for (const auto& [name, tensor] : in_order) {
      stream.write(tensor->bytes.data(), static_cast<std::streamsize>(tensor->bytes.size()));
    }
  });
  file.keep();
}

template std::vector<float> SafetensorsFile::read(const std::string&) const;
template std::vector<double> SafetensorsFile::read(const std::string&) const;
template std::vector<float> SafetensorsFile::read(const std::string&, const Shape&) const;
template std::vector<double> SafetensorsFile::read(const std::string&, const Shape&) const;
template void SafetensorsWriter::add(const std::string&, const Shape&, std::span<const float>,
                                     ElementType);
template void SafetensorsWriter::add(const std::string&, const Shape&, std::span<const double>,
                                     ElementType);

}  // namespace hugging_face
