#include "hugging_face/safetensors.hpp"

#include <cmath>
#include <coca/core/scalar.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

/// .safetensors files: what is written comes back, and nothing is believed that the file does not have.
namespace {

using coca::ElementType;
using hugging_face::FileError;
using hugging_face::SafetensorsFile;
using hugging_face::SafetensorsWriter;
using hugging_face::Shape;
using test::contains;

struct Folder : test::TemporaryFolder {
  std::string file = (path / "a.safetensors").string();

  /// Makes the file of these bytes.
  void put(const std::string& bytes) const {
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  }
  std::string get() const {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  /// The message that reading the file ends with.
  std::string complaint() const {
    try {
      SafetensorsFile(file).tensors();
    } catch (const FileError& error) {
      return error.what();
    }
    return "none";
  }
};

std::string length_of(std::uint64_t bytes) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(bytes >> (8 * i) & 0xff);
  return text;
}

/// A file of a header and so many bytes of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  return length_of(header.size()) + header + std::string(data_bytes, '\0');
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return '"' + name + R"(": {"dtype": )" + dtype + R"(, "shape": )" + shape +
         R"(, "data_offsets": )" + offsets + "}";
}

std::vector<float> random_values(std::size_t count) {
  test::Random random(7);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.uniform());
  return values;
}

template <class T>
std::span<const T> all(const std::vector<T>& values) {
  return values;
}

}  // namespace

TEST_CASE("what is written to a .safetensors file comes back", "[safetensors]") {
  const Folder folder;
  const std::vector<float> values = random_values(24);
  const std::vector<double> precise{1.0 / 3.0, -0.0, std::numeric_limits<double>::infinity()};
  SafetensorsWriter writer;
  // In an order that is neither that of the names nor that of the widths.
  writer.add<float>("half", {24}, values, ElementType::float16);
  writer.add<float>("matrix", {4, 6}, values, ElementType::float32);
  writer.add<double>("doubles", {3, 1, 1}, precise, ElementType::float64);
  writer.add<float>("brain", {2, 3, 4}, values, ElementType::bfloat16);
  writer.add<float>("scalar", {}, all(values).first(1), ElementType::float32);
  writer.add<float>("nothing", {0, 5}, {}, ElementType::float32);
  writer.write(folder.file, {{"step", "12"}, {"note", "\"\xc3\xa9\"\n"}});

  const SafetensorsFile file(folder.file);
  CHECK(file.metadata() == hugging_face::Metadata{{"step", "12"}, {"note", "\"\xc3\xa9\"\n"}});
  REQUIRE(file.tensors().size() == 6);
  CHECK(file.tensors().at("brain").dtype == "BF16");
  CHECK(file.tensors().at("brain").shape == Shape{2, 3, 4});
  CHECK(file.tensors().at("scalar").shape.empty());
  CHECK(file.read<float>("matrix") == values);
  CHECK(file.read<float>("matrix", {4, 6}) == values);
  CHECK(file.read<double>("doubles") == precise);
  CHECK(std::signbit(file.read<double>("doubles")[1]));
  CHECK(file.read<float>("scalar") == std::vector<float>{values[0]});
  CHECK(file.read<float>("nothing").empty());
  std::vector<double> widened, halves, brains;
  for (const float value : values) {
    widened.push_back(static_cast<double>(value));
    halves.push_back(static_cast<double>(static_cast<Eigen::half>(value)));
    brains.push_back(static_cast<double>(static_cast<Eigen::bfloat16>(value)));
  }
  CHECK(file.read<double>("matrix") == widened);
  CHECK(file.read<double>("half") == halves);
  CHECK(file.read<double>("brain") == brains);
  CHECK(file.read<float>("doubles")[0] == 1.0F / 3.0F);

  // Every tensor lies where its elements may be read in place.
  const std::uint64_t begin = folder.get().size() - 3 * 8 - 25 * 4 - 48 * 2;
  CHECK(begin % 8 == 0);
  CHECK(file.tensors().at("doubles").begin % 8 == 0);
  CHECK(file.tensors().at("matrix").begin % 4 == 0);
}

TEST_CASE("a .safetensors file replaces another one when it is complete", "[safetensors]") {
  const Folder folder;
  folder.put("old");
  SafetensorsWriter writer;
  writer.add<float>("x", {1}, all(random_values(1)), ElementType::float32);
  CHECK_THROWS_WITH(writer.write(folder.file, {{"note", "\xff"}}), contains("is not UTF-8"));
  CHECK(folder.get() == "old");
  writer.write(folder.file);
  CHECK(SafetensorsFile(folder.file).tensors().contains("x"));
  CHECK_FALSE(std::filesystem::exists(folder.file + ".part"));
  CHECK_THROWS_AS(writer.write((folder.path / "no" / "folder").string()), FileError);
}

TEST_CASE("the writer of .safetensors refuses what makes no file", "[safetensors]") {
  SafetensorsWriter writer;
  const std::vector<float> six = random_values(6);
  writer.add<float>("x", {2, 3}, six, ElementType::float32);
  const auto refused = [&](const std::string& name, const Shape& shape, ElementType type,
                           const std::string& text) {
    CHECK_THROWS_AS(writer.add<float>(name, shape, six, type), std::invalid_argument);
    CHECK_THROWS_WITH(writer.add<float>(name, shape, six, type), contains(text));
  };
  refused("x", {6}, ElementType::float32, "name is x, expected one that is not taken");
  refused("__metadata__", {6}, ElementType::float32, "name is __metadata__");
  refused("y", {2, 2}, ElementType::float32, "y.shape is [2, 2], expected 6 elements");
  refused("y", {-2, -3}, ElementType::float32, "y.shape is [-2, -3]");
  refused("y", {3, coca::Index{1} << 62, 4}, ElementType::float32, "y.shape is [3, ");
  refused("y", {6}, ElementType::int8, "y.type is int8");
}

TEST_CASE("tensors that are asked for in vain", "[safetensors]") {
  const Folder folder;
  folder.put(file_of("{" + entry("x", R"("F32")", "[2]", "[0, 8]") + "," +
                         entry("ids", R"("I64")", "[1]", "[8, 16]") + "}  ",
                     16));
  const SafetensorsFile file(folder.file);
  CHECK(file.read<float>("x") == std::vector<float>{0.0F, 0.0F});
  CHECK_THROWS_WITH(file.read<float>("y"), contains("a.safetensors has no tensor y"));
  CHECK_THROWS_WITH(file.read<float>("ids"), contains("ids holds I64, expected F64, F32, BF16"));
  CHECK_THROWS_WITH(file.read<float>("x", {1, 2}), contains("x is of shape [2], expected [1, 2]"));
  // The file is cut off after its header was read.
  std::filesystem::resize_file(folder.file, std::filesystem::file_size(folder.file) - 9);
  CHECK_THROWS_WITH(file.read<float>("x"), contains("cannot be read to its end"));
}

TEST_CASE("malformed .safetensors files are refused", "[safetensors]") {
  const Folder folder;
  const auto refused = [&](const std::string& bytes, const std::string& text) {
    INFO(bytes);
    folder.put(bytes);
    CHECK_THAT(folder.complaint(), contains(text));
  };
  const std::string x = entry("x", R"("F32")", "[2, 3]", "[0, 24]");

  CHECK_THAT(folder.complaint(), contains("a.safetensors cannot be opened"));
  folder.put(file_of("{" + x + "}", 24));
  CHECK(folder.complaint() == "none");

  SECTION("lengths") {
    refused("", "is too short for a .safetensors file");
    refused("1234567", "is too short");
    refused(length_of(3) + "{}", "has a header of 3 bytes, expected at most 2");
    refused(length_of(~std::uint64_t{0}) + "{}", "bytes, expected at most 2");
    refused(length_of(std::uint64_t{1} << 63) + "{}", "bytes, expected at most 2");
    refused(length_of(0) + "{}", "its header does not begin with {");
    refused(file_of("{" + x + "}", 23), "tensors end at byte 24, its data at 23");
    refused(file_of("{" + x + "}", 25), "tensors end at byte 24, its data at 25");
    refused(file_of("{}", 1), "tensors end at byte 0, its data at 1");
  }
  SECTION("a header longer than the format's library reads") {
    folder.put(length_of(100'000'001) + "{}");
    std::filesystem::resize_file(folder.file, 100'000'100);
    CHECK_THAT(folder.complaint(), contains("expected at most 100000000"));
  }
  SECTION("JSON") {
    refused(file_of("[]", 0), "its header does not begin with {");
    refused(file_of(" {}", 0), "its header does not begin with {");
    refused(file_of("{" + x, 24), "its header is not the JSON it should be");
    refused(file_of("{\"\xff\": 1}", 0), "its header is not the JSON it should be");
    refused(file_of("{" + x + "}{}", 24), "its header is not the JSON it should be");
    refused(file_of("{" + x + "," + x + "}", 24), "its header has x twice");
    refused(
        file_of(R"({"x": {"dtype": "F32", "shape": [], "shape": [1], "data_offsets": [0, 4]}})", 4),
        "its header has shape twice");
    refused(file_of(R"({"x": )" + std::string(100'000, '['), 0), "is nested too deeply");
  }
  SECTION("metadata") {
    refused(file_of(R"({"__metadata__": ["a"]})", 0),
            R"(__metadata__ is ["a"], expected an object)");
    refused(file_of(R"({"__metadata__": {"a": 1}})", 0), "expected an object of texts");
  }
  SECTION("a tensor's entry") {
    const auto refused_entry = [&](const std::string& dtype, const std::string& shape,
                                   const std::string& offsets, const std::string& text) {
      refused(file_of("{" + entry("x", dtype, shape, offsets) + "}", 24), text);
    };
    refused(file_of(R"({"x": 1})", 0), "x is 1, expected an object");
    refused(file_of(R"({"x": {}})", 0), "x has no dtype");
    refused(file_of(R"({"x": {"dtype": "F32", "data_offsets": [0, 0]}})", 0), "x has no shape");
    refused(file_of(R"({"x": {"dtype": "F32", "shape": [0]}})", 0), "x has no data_offsets");
    refused_entry(R"("F31")", "[6]", "[0, 24]", R"(x is of the unknown type "F31")");
    refused_entry("32", "[6]", "[0, 24]", "x is of the unknown type 32");
    refused_entry(R"("F32")", "6", "[0, 24]", "x has a shape that is 6, expected a list");
    refused_entry(R"("F32")", "[-6]", "[0, 24]", "x has a shape that is [-6]");
    refused_entry(R"("F32")", "[6.0]", "[0, 24]", "x has a shape that is [6.0]");
    refused_entry(R"("F32")", R"(["6"])", "[0, 24]", R"(x has a shape that is ["6"])");
    refused_entry(R"("F32")", "[18446744073709551615]", "[0, 24]", "x has a shape that is [1844");
    refused_entry(R"("F32")", "[184467440737095516150]", "[0, 24]", "x has a shape that is [1.84");
    refused_entry(R"("F32")", "[6]", "[0]", "x has data_offsets that are [0], expected a begin");
    refused_entry(R"("F32")", "[6]", "[0, 24, 48]", "x has data_offsets that are [0, 24, 48]");
    refused_entry(R"("F32")", "[6]", "[24, 0]", "x has data_offsets that are [24, 0]");
    refused_entry(R"("F32")", "[6]", "[-24, 0]", "x has a data_offsets that is [-24,0]");
    refused_entry(R"("F32")", "[6]", "{}", "x has a data_offsets that is {}");
    refused_entry(R"("F32")", "[5]", "[0, 24]", "x has 24 bytes, expected 20 for F32 of shape [5]");
    refused_entry(R"("F64")", "[6]", "[0, 24]", "x has 24 bytes, expected 48 for F64");
    refused_entry(R"("F32")", "[]", "[0, 24]", "x has 24 bytes, expected 4 for F32 of shape []");
    // 2^62 * 4 elements are 0, and 2^61 * 8 bytes too, where products wrap around.
    refused_entry(R"("F32")", "[4611686018427387904, 4]", "[0, 0]", "which no memory holds");
    refused_entry(R"("F64")", "[2305843009213693952]", "[0, 0]", "which no memory holds");
    refused_entry(R"("F32")", "[9223372036854775807, 9223372036854775807, 0]", "[0, 0]",
                  "which no memory holds");
  }
  SECTION("places") {
    const auto refused_places = [&](const std::string& a, const std::string& b,
                                    const std::string& text) {
      refused(file_of("{" + entry("a", R"("F32")", "[3]", a) + "," +
                          entry("b", R"("F32")", "[3]", b) + "}",
                      24),
              text);
    };
    refused_places("[0, 12]", "[8, 20]", "b begins at byte 8, expected 12");
    refused_places("[0, 12]", "[0, 12]", "b begins at byte 0, expected 12");
    refused_places("[0, 12]", "[16, 28]", "b begins at byte 16, expected 12");
    refused_places("[16, 28]", "[4, 16]", "b begins at byte 4, expected 0");
    refused_places("[12, 24]", "[24, 36]", "a begins at byte 12, expected 0");
    refused_places("[0, 12]", "[9223372036854775795, 9223372036854775807]", "b begins at byte 92");
  }
}
