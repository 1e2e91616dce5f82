#include "coca/core/view.hpp"

#include <numeric>
#include <vector>

#include "support/catch.hpp"

using coca::Index;
using coca::view;

namespace {

/// What std::mdspan offers, for a standard library that has none yet.
struct Mdspan {
  float* first;
  static constexpr std::size_t rank() { return 4; }
  float* data_handle() const { return first; }
  int extent(std::size_t axis) const { return static_cast<int>(axis) + 2; }
  std::size_t stride(std::size_t axis) const { return axis == 3 ? 1 : 10 * (3 - axis); }
};

}  // namespace

TEST_CASE("an Eigen tensor's view has its shape, in either storage order", "[core]") {
  Eigen::Tensor<int, 4, Eigen::RowMajor> rows(2, 3, 4, 5);
  Eigen::Tensor<int, 4, Eigen::ColMajor> columns(2, 3, 4, 5);
  std::iota(rows.data(), rows.data() + rows.size(), 0);
  std::iota(columns.data(), columns.data() + columns.size(), 0);
  const auto a = view(rows);
  const auto b = view(columns);
  CHECK(a.shape == std::array<Index, 4>{2, 3, 4, 5});
  CHECK(a.strides == std::array<Index, 4>{60, 20, 5, 1});
  CHECK(b.strides == std::array<Index, 4>{1, 2, 6, 24});
  bool same = true;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k)
        for (int l = 0; l < 5; ++l) {
          same = same && a(i, j, k, l) == rows(i, j, k, l) && b(i, j, k, l) == columns(i, j, k, l);
        }
  CHECK(same);
}

TEST_CASE("views do not copy", "[core]") {
  Eigen::Tensor<float, 4, Eigen::RowMajor> tensor(1, 2, 3, 4);
  Eigen::TensorMap<Eigen::Tensor<float, 4, Eigen::RowMajor>> map(tensor.data(), 1, 2, 3, 4);
  Eigen::TensorMap<Eigen::Tensor<const float, 4, Eigen::RowMajor>> const_map(tensor.data(), 1, 2, 3,
                                                                             4);
  CHECK(view(tensor).data == tensor.data());
  CHECK(view(map).data == tensor.data());
  CHECK(view(const_map).data == tensor.data());
  CHECK(view(std::as_const(tensor)).data == tensor.data());
  STATIC_REQUIRE(std::is_same_v<coca::ViewOf<decltype(const_map)&>, coca::View<const float, 4>>);
  STATIC_REQUIRE(std::is_same_v<coca::ViewOf<const decltype(tensor)&>, coca::View<const float, 4>>);
  STATIC_REQUIRE(std::is_same_v<coca::ViewOf<decltype(tensor)&>, coca::View<float, 4>>);
}

TEST_CASE("a matrix is one batch entry and one head", "[core]") {
  Eigen::MatrixXf matrix = Eigen::MatrixXf::Random(6, 4);
  const auto x = coca::tensor_view(matrix);
  CHECK(x.shape == std::array<Index, 4>{1, 6, 1, 4});
  CHECK(&x(0, 5, 0, 3) == &matrix(5, 3));
  const auto block = coca::tensor_view(matrix.block(1, 1, 3, 2));
  CHECK(&block(0, 2, 0, 1) == &matrix(3, 2));
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows(6, 4);
  CHECK(&coca::tensor_view(rows)(0, 5, 0, 3) == &rows(5, 3));
}

TEST_CASE("anything like std::mdspan is seen with its strides", "[core]") {
  std::vector<float> memory(1000);
  const auto x = view(Mdspan{memory.data()});
  CHECK(x.shape == std::array<Index, 4>{2, 3, 4, 5});
  CHECK(x.strides == std::array<Index, 4>{30, 20, 10, 1});
}

TEST_CASE("a pointer with a shape is row-major, with strides anything", "[core]") {
  std::vector<double> memory(24);
  const coca::TensorView<double> x(memory.data(), {1, 2, 3, 4});
  CHECK(x.strides == std::array<Index, 4>{24, 12, 4, 1});
  CHECK(x.size() == 24);
  const coca::TensorView<const double> reversed(memory.data() + 23, {1, 2, 3, 4}, {0, -12, -4, -1});
  CHECK(&reversed(0, 1, 2, 3) == memory.data());
  CHECK(coca::TensorView<double>(nullptr, {1, 0, 3, 4}).empty());
  const Index many = Index{1} << 32;
  CHECK_FALSE(coca::TensorView<double>(nullptr, {many, many, 3, 4}, {0, 0, 4, 1}).empty());
}

TEST_CASE("what has no memory is no tensor", "[core]") {
  using Sum = decltype(Eigen::MatrixXf() + Eigen::MatrixXf());
  STATIC_REQUIRE_FALSE(coca::TensorLike<Sum>);
  STATIC_REQUIRE_FALSE(coca::TensorLike<Eigen::Tensor<float, 3>>);
  STATIC_REQUIRE_FALSE(coca::TensorLike<std::vector<float>>);
  STATIC_REQUIRE(coca::TensorLike<Eigen::Ref<Eigen::MatrixXf>>);
}
