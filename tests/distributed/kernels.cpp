#define COCA_TEST_INSTANTIATE
#include "distributed/kernels.hpp"

namespace coca::inline v0::detail {
template void forward(const ForwardCall<float, test::EveryScheme, test::CountedMask>&,
                      const Eigen::DefaultDevice&);
template void decode_few(const ForwardCall<float, test::EveryScheme, test::CountedMask>&,
                         const Eigen::DefaultDevice&);
}  // namespace coca::inline v0::detail
