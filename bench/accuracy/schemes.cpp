#define EIGEN_USE_THREADS
#include <stdexcept>
#include <string>
#include <string_view>

#include "../c_interface.hpp"

/// Every scheme in every type whose rounding is measured, behind a C interface for measure.py.

namespace {

template <class T>
void run(const CocaCall& c) {
  const std::string_view scheme(c.scheme);
  const coca::Full all{};
  if (scheme == "dot") return bench::attention<T>(c, coca::Dot{}, all);
  const coca::Rope rope({.dim = c.dim});
  const coca::RawProjection raw{};
  if (scheme == "rotary") return bench::attention<T>(c, coca::Rotary{rope}, all);
  if (scheme == "strict_t") return bench::attention<T>(c, coca::CocaStrict{rope}, all);
  if (scheme == "strict_x") return bench::attention<T>(c, coca::CocaStrict{rope, raw}, all);
  if (scheme == "slack_t") return bench::attention<T>(c, coca::CocaSlack{rope}, all);
  if (scheme == "slack_x") return bench::attention<T>(c, coca::CocaSlack{rope, raw}, all);
  if (scheme == "constrained_t") return bench::attention<T>(c, coca::CocaConstrained{rope}, all);
  if (scheme == "constrained_x") {
    return bench::attention<T>(c, coca::CocaConstrained{rope, raw}, all);
  }
  throw std::invalid_argument("no scheme " + std::string(scheme));
}

}  // namespace

/// Null, or what is wrong, valid until the thread's next call.
extern "C" const char* coca_attention(const CocaCall* call) {
  return bench::error_of([&] {
    const std::string_view dtype(call->dtype);
    if (dtype == "float32") return run<float>(*call);
    if (dtype == "bfloat16") return run<Eigen::bfloat16>(*call);
    if (dtype == "float16") return run<Eigen::half>(*call);
    throw std::invalid_argument("no type " + std::string(dtype));
  });
}

/// The instruction set in use.
extern "C" const char* coca_target() { return coca::target_name(coca::target()); }
