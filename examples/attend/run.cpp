#define EIGEN_USE_THREADS
#include <chrono>
#include <coca/coca.hpp>
#include <iostream>

#include "command_line/mask.hpp"
#include "command_line/scheme.hpp"
#include "run.hpp"

namespace attend {

using command_line::DType;
using command_line::PendingFile;
using command_line::read_npy;

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

  command_line::AnyMask mask(arguments, q.shape[2]);
  if (!arguments.bool_mask.empty()) mask.add_boolean(arguments.bool_mask);
  if (!arguments.bias.empty()) mask.add_bias<T>(arguments.bias);
  const command_line::SchemeOfLength scheme(arguments, q.shape[3]);
  Eigen::ThreadPool pool(arguments.threads);
  const Eigen::ThreadPoolDevice device(&pool, arguments.threads);
  const auto start = std::chrono::steady_clock::now();
  scheme.with(arguments.first_key + k.shape[1], [&](const auto& chosen) {
    coca::attention(coca::TensorView<T>(out.data(), out_shape), q, k, v, chosen, mask, options,
                    device);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (arguments.verbose) {
    std::cerr << arguments.scheme << ", " << command_line::name_of(inputs.q.dtype) << ", "
              << q.shape[1] << " queries, " << k.shape[1] << " keys: " << seconds.count() << " s\n";
  }

  PendingFile out_file(arguments.out);
  if (inputs.q.is_matrix()) {
    command_line::write_npy(out_file, {out_shape[1], out_shape[3]}, out);
  } else {
    command_line::write_npy(out_file, {out_shape.begin(), out_shape.end()}, out);
  }
  if (!arguments.lse.empty()) {
    PendingFile lse_file(arguments.lse);
    command_line::write_npy(lse_file, {lse_shape.begin(), lse_shape.end()}, lse);
    lse_file.keep();
  }
  out_file.keep();
}

template void run<float>(const Arguments&, const Inputs&);
template void run<double>(const Arguments&, const Inputs&);
template void run<Eigen::half>(const Arguments&, const Inputs&);

}  // namespace attend
