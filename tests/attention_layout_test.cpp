#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "coca/coca.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

/// The ways in: tensors of every kind, narrow types mixed, devices, chunks.
namespace {

using namespace test;
template <class T>
using RowTensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

template <class T>
RowTensor<T> random_tensor(Index b, Index n, Index h, Index d, std::uint64_t seed) {
  Random random(seed);
  RowTensor<T> x(b, n, h, d);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<T>(random.uniform());
  return x;
}

template <class A, class B>
double apart(const A& a, const B& b) {
  const auto x = coca::tensor_view(a);
  const auto y = coca::tensor_view(b);
  double result = 0.0;
  for (Index i = 0; i < x.shape[0]; ++i)
    for (Index j = 0; j < x.shape[1]; ++j)
      for (Index k = 0; k < x.shape[2]; ++k)
        for (Index l = 0; l < x.shape[3]; ++l) {
          result =
              worse(result, static_cast<double>(x(i, j, k, l)), static_cast<double>(y(i, j, k, l)));
        }
  return result;
}

const coca::Rope& rope16() {
  static const coca::Rope rope({.dim = 16});
  return rope;
}

}  // namespace

TEST_CASE("the same numbers give the same bits, however they lie in memory", "[attention]") {
  const auto q = random_tensor<float>(2, 70, 4, 16, 1);
  const auto t = random_tensor<float>(2, 90, 2, 8, 2);
  const auto v = random_tensor<float>(2, 90, 2, 12, 3);
  RowTensor<float> out(2, 70, 4, 12);
  const coca::CocaSlack scheme{rope16()};
  coca::attention(out, q, t, v, scheme, coca::Causal{});

  SECTION("column-major tensors") {
    const std::array<int, 4> reverse{3, 2, 1, 0};
    const Eigen::Tensor<float, 4> qc = q.swap_layout().shuffle(reverse),
                                  tc = t.swap_layout().shuffle(reverse),
                                  vc = v.swap_layout().shuffle(reverse);
    Eigen::Tensor<float, 4> outc(2, 70, 4, 12);
    coca::attention(outc, qc, tc, vc, scheme, coca::Causal{});
    CHECK(apart(out, outc) == 0.0);
  }
  SECTION("maps of raw memory, to read and to write") {
    Eigen::TensorMap<const RowTensor<float>> qm(q.data(), 2, 70, 4, 16);
    Eigen::TensorMap<RowTensor<const float>> tm(t.data(), 2, 90, 2, 8);
    std::vector<float> memory(static_cast<std::size_t>(out.size()));
    Eigen::TensorMap<RowTensor<float>> om(memory.data(), 2, 70, 4, 12);
    coca::attention(om, qm, tm, v, scheme, coca::Causal{});
    CHECK(apart(out, om) == 0.0);
  }
  SECTION("pointer, shape and strides: [batch, heads, sequence, dim] memory") {
    const RowTensor<float> bhnd = q.shuffle(std::array<int, 4>{0, 2, 1, 3});
    const coca::TensorView<const float> qv(bhnd.data(), {2, 70, 4, 16},
                                           {4 * 70 * 16, 16, 70 * 16, 1});
    RowTensor<float> other(2, 70, 4, 12);
    coca::attention(other, qv, t, v, scheme, coca::Causal{});
    CHECK(apart(out, other) == 0.0);
  }
  SECTION("one head as matrices, blocks of larger ones") {
    Eigen::MatrixXf qm(70, 20), tm(90, 8), vm(90, 12), om(70, 12);
    for (Index n = 0; n < 70; ++n)
      for (Index i = 0; i < 16; ++i) qm(n, i) = q(1, n, 3, i);
    for (Index n = 0; n < 90; ++n)
      for (Index i = 0; i < 8; ++i) tm(n, i) = t(1, n, 1, i);
    for (Index n = 0; n < 90; ++n)
      for (Index i = 0; i < 12; ++i) vm(n, i) = v(1, n, 1, i);
    coca::attention(om, qm.leftCols(16), tm, vm, scheme, coca::Causal{});
    double difference = 0.0;
    for (Index n = 0; n < 70; ++n)
      for (Index i = 0; i < 12; ++i)
        difference =
            worse(difference, static_cast<double>(om(n, i)), static_cast<double>(out(1, n, 3, i)));
    // One head beside the others shares tiles with them, alone it does not: the products may round
    // differently, by an ulp or two of values below 1.
    CHECK(difference <= 4.0 * std::numeric_limits<float>::epsilon());
    coca::attention(om.block(0, 0, 70, 12), qm.leftCols(16), tm, vm, scheme, coca::Causal{});
    CHECK(om(69, 11) == Approx(out(1, 69, 3, 11)));
  }
}

TEST_CASE("narrow types may be mixed, and the output be wider", "[attention]") {
  const auto q = random_tensor<float>(1, 20, 2, 16, 4);
  const auto k = random_tensor<Eigen::bfloat16>(1, 30, 1, 16, 5);
  const auto v = random_tensor<Eigen::half>(1, 30, 1, 8, 6);
  const RowTensor<float> wide_k = k.cast<float>(), wide_v = v.cast<float>();
  RowTensor<float> out(1, 20, 2, 8), expected(1, 20, 2, 8);
  coca::attention(out, q, k, v, coca::Rotary{rope16()});
  coca::attention(expected, q, wide_k, wide_v, coca::Rotary{rope16()});
  CHECK(apart(out, expected) == 0.0);
}

TEST_CASE("any number of threads gives the same bits", "[attention]") {
  // No number of rows is a multiple of what the registers hold.
  const auto q = random_tensor<float>(2, 301, 9, 16, 7);
  const auto t = random_tensor<float>(2, 310, 3, 16, 8);
  auto v = random_tensor<float>(2, 310, 3, 12, 9);
  v(0, 300, 1, 5) = std::numeric_limits<float>::infinity();
  RowTensor<float> serial(2, 301, 9, 12);
  Eigen::ThreadPool pool(4);
  for_each_any_form(rope16(), [&](const auto& form) {
    if (form.half_width) return;
    for (const double soft_cap : {0.0, 2.0}) {
      INFO(form.name << ", soft cap " << soft_cap);
      coca::attention(serial, q, t, v, form.scheme, coca::Causal{}, {.soft_cap = soft_cap});
      for (const int threads : {1, 2, 3, 4}) {
        RowTensor<float> out(2, 301, 9, 12);
        coca::attention(out, q, t, v, form.scheme, coca::Causal{}, {.soft_cap = soft_cap},
                        Eigen::ThreadPoolDevice(&pool, threads));
        CHECK(std::memcmp(out.data(), serial.data(),
                          sizeof(float) * static_cast<std::size_t>(out.size())) == 0);
      }
    }
  });
}

TEST_CASE("a sequence may be computed in chunks of queries", "[attention]") {
  const auto q = random_tensor<double>(1, 100, 2, 16, 10);
  const auto t = random_tensor<double>(1, 100, 2, 8, 11);
  const auto v = random_tensor<double>(1, 100, 2, 8, 12);
  for_each_any_form(rope16(), [&](const auto& form) {
    if (!form.half_width) return;
    INFO(form.name);
    RowTensor<double> whole(1, 100, 2, 8), chunks(1, 100, 2, 8);
    coca::attention(whole, q, t, v, form.scheme, coca::Causal{} & coca::SlidingWindow(40, 0));
    for (const auto& [begin, end] : {std::pair<Index, Index>{0, 37}, {37, 38}, {38, 100}}) {
      auto part = coca::view(q);
      part.data = &part(0, begin, 0, 0);
      part.shape[1] = end - begin;
      auto part_out = coca::view(chunks);
      part_out.data = &part_out(0, begin, 0, 0);
      part_out.shape[1] = end - begin;
      coca::attention(part_out, part, t, v, form.scheme,
                      coca::Causal{} & coca::SlidingWindow(40, 0), {.first_query = begin});
    }
    CHECK(apart(whole, chunks) <= 1e-14);
  });
}

TEST_CASE("keys may come in any order, with their positions", "[attention]") {
  const auto q = random_tensor<double>(1, 20, 2, 16, 13);
  const auto t = random_tensor<double>(1, 100, 2, 16, 14);
  const auto v = random_tensor<double>(1, 100, 2, 8, 15);
  Random random(16);
  std::vector<coca::Position> order(100);
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(order);
  RowTensor<double> shuffled_t(t.dimensions()), shuffled_v(v.dimensions());
  for (std::size_t n = 0; n < order.size(); ++n) {
    shuffled_t.chip(static_cast<Index>(n), 1) = t.chip(order[n], 1);
    shuffled_v.chip(static_cast<Index>(n), 1) = v.chip(order[n], 1);
  }
  for_each_any_form(rope16(), [&](const auto& form) {
    if (form.half_width) return;
    INFO(form.name);
    RowTensor<double> out(1, 20, 2, 8), shuffled(1, 20, 2, 8);
    coca::attention(out, q, t, v, form.scheme);
    coca::attention(shuffled, q, shuffled_t, shuffled_v, form.scheme, coca::Full{},
                    {.key_ids = {order.data(), {1, 100}}});
    CHECK(apart(out, shuffled) <= 1e-13);
  });
}
