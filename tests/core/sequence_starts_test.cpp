#include "coca/core/sequence_starts.hpp"

#include <array>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

using coca::Index;
using coca::SequenceStarts;

TEST_CASE("starts are read from ranges, vectors and tensors of either width", "[core]") {
  const auto check = [](const SequenceStarts& starts) {
    REQUIRE(starts.size() == 3);
    CHECK(starts[0] == 0);
    CHECK(starts[1] == 5);
    CHECK(starts[2] == 12);
  };
  const std::vector<std::int32_t> narrow{0, 5, 12};
  const std::array<std::int64_t, 3> wide{0, 5, 12};
  check(narrow);
  check(wide);
  check(std::span(narrow));
  check(std::vector<std::int32_t>{0, 5, 12});

  Eigen::VectorXi vector(3);
  vector << 0, 5, 12;
  check(vector);
  Eigen::MatrixXi rows(2, 3);
  rows << 0, 5, 12, 9, 9, 9;
  check(rows.row(0));
  Eigen::Tensor<std::int64_t, 1> tensor(3);
  tensor.setValues({0, 5, 12});
  check(tensor);
  const std::vector<std::int64_t> apart{0, 9, 5, 9, 12};
  check(coca::View<const std::int64_t, 1>(apart.data(), {3}, {2}));
}

TEST_CASE("other things are no starts", "[core]") {
  STATIC_REQUIRE(std::is_convertible_v<std::vector<std::int32_t>, SequenceStarts>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::vector<unsigned>, SequenceStarts>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::vector<float>, SequenceStarts>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<std::string, SequenceStarts>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<Eigen::MatrixXi, SequenceStarts>);
}
