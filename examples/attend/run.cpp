#define EIGEN_USE_THREADS
#include <chrono>
#include <coca/coca.hpp>
#include <iostream>

#include "mask.hpp"
#include "run.hpp"

namespace attend {

inline coca::Rope make_rope(const Arguments& arguments, coca::Index head_dim) {
  coca::RopeOptions options{.dim = head_dim,
                            .base = arguments.base,
                            .rotary_dim = arguments.rotary_dim,
                            .layout = arguments.layout == "interleaved"
                                          ? coca::RopeLayout::interleaved
                                          : coca::RopeLayout::half_split};
  if (!arguments.inv_freq.empty()) {
    const Array file = read_npy(arguments.inv_freq);
    const auto values = file.view<double, 1>();
    options.inv_freq.assign(values.data, values.data + values.shape[0]);
  }
  return coca::Rope(std::move(options));
}

/// For a program that must offer all schemes, one kernel to compile instead of eight.
using AnyScheme =
    coca::OneOf<coca::Dot, coca::Rotary, coca::CocaStrict<>, coca::CocaStrict<coca::RawProjection>,
                coca::CocaSlack<>, coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<>,
                coca::CocaConstrained<coca::RawProjection>>;

/// The scheme the arguments name.
inline AnyScheme make_scheme(const Arguments& arguments, coca::Index head_dim) {
  if (arguments.scheme == "dot") return coca::Dot{};
  const coca::Rope rope = make_rope(arguments, head_dim);
  if (arguments.scheme == "rotary") return coca::Rotary{rope};
  const auto coca_scheme = [&](auto key_form) -> AnyScheme {
    if (arguments.scheme == "coca-strict") return coca::CocaStrict{rope, key_form};
    if (arguments.scheme == "coca-slack") return coca::CocaSlack{rope, key_form};
    return coca::CocaConstrained{rope, key_form};
  };
  if (arguments.key_form == "t") return coca_scheme(coca::NonNegativeT{});
  return coca_scheme(coca::RawProjection{});
}

template <class T>
void run(const Arguments& arguments, const Inputs& inputs) {
  using Real = coca::Accumulator<T>;
  const auto q = inputs.q.tensor<T>();
  const auto k = inputs.k.tensor<T>();
  const auto v = inputs.v.tensor<T>();
  const std::array<coca::Index, 4> out_shape{q.shape[0], q.shape[1], q.shape[2], v.shape[3]};
  const std::array<coca::Index, 3> lse_shape{q.shape[0], q.shape[2], q.shape[1]};
  std::vector<T> out(static_cast<std::size_t>(coca::TensorView<T>(nullptr, out_shape).size()));
  std::vector<Real> lse(static_cast<std::size_t>(coca::View<Real, 3>(nullptr, lse_shape).size()));

  coca::AttentionOptions options{.scale = arguments.scale,
                                 .soft_cap = arguments.soft_cap,
                                 .first_query = arguments.first_query,
                                 .first_key = arguments.first_key,
                                 .lse = coca::View<Real, 3>(lse.data(), lse_shape),
                                 .checked = arguments.checked};
  Array sinks, query_ids, key_ids;
  if (!arguments.sinks.empty()) {
    sinks = read_npy(arguments.sinks);
    if (sinks.dtype == DType::float64) {
      options.sinks = sinks.view<double, 1>();
    } else {
      options.sinks = sinks.view<float, 1>();
    }
  }
  if (!arguments.query_ids.empty()) {
    query_ids = read_npy(arguments.query_ids);
    options.query_ids = query_ids.view<coca::Position, 2>();
  }
  if (!arguments.key_ids.empty()) {
    key_ids = read_npy(arguments.key_ids);
    options.key_ids = key_ids.view<coca::Position, 2>();
  }

  const AnyMask<T> mask(arguments);
  Eigen::ThreadPool pool(arguments.threads);
  const Eigen::ThreadPoolDevice device(&pool, arguments.threads);
  const auto start = std::chrono::steady_clock::now();
  coca::attention(coca::TensorView<T>(out.data(), out_shape), q, k, v,
                  make_scheme(arguments, q.shape[3]), mask, options, device);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (arguments.verbose) {
    std::cerr << arguments.scheme << ", " << name_of(inputs.q.dtype) << ", " << q.shape[1]
              << " queries, " << k.shape[1] << " keys: " << seconds.count() << " s\n";
  }

  PendingFile out_file(arguments.out);
  if (inputs.q.is_matrix()) {
    out_file.write_npy({out_shape[1], out_shape[3]}, out);
  } else {
    out_file.write_npy({out_shape.begin(), out_shape.end()}, out);
  }
  if (!arguments.lse.empty()) {
    PendingFile lse_file(arguments.lse);
    lse_file.write_npy({lse_shape.begin(), lse_shape.end()}, lse);
    lse_file.keep();
  }
  out_file.keep();
}

template void run<float>(const Arguments&, const Inputs&);
template void run<double>(const Arguments&, const Inputs&);
template void run<Eigen::half>(const Arguments&, const Inputs&);

}  // namespace attend
