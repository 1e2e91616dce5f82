#pragma once

#include "coca/coca.hpp"

/// The common kernels, compiled in one place: float; Dot, Rotary, and CocaStrict and CocaSlack of a
/// non-negative t; Full and Causal; with and without a soft-cap. Include this header in place of
/// coca.hpp wherever attention is called, and have one source file of the program that begins with
///     #define COCA_INSTANTIATE
///     #include <coca/extern.hpp>
/// Other calls are compiled where they are made, as ever. Define EIGEN_USE_THREADS in that file too
/// if calls run on an Eigen::ThreadPoolDevice, and compile all files for the same processor.
#ifdef COCA_INSTANTIATE
#define COCA_EXTERN
#else
#define COCA_EXTERN extern
#endif

#ifdef EIGEN_USE_THREADS
#define COCA_EXTERN_DEVICES(Kernel, ...) \
  Kernel(__VA_ARGS__, Eigen::DefaultDevice) Kernel(__VA_ARGS__, Eigen::ThreadPoolDevice)
#else
#define COCA_EXTERN_DEVICES(Kernel, ...) Kernel(__VA_ARGS__, Eigen::DefaultDevice)
#endif
#define COCA_EXTERN_KERNEL(Scheme, MaskType, DeviceType)                                     \
  COCA_EXTERN template void forward(                                                         \
      const ForwardCall<float, float, float, float, Scheme, MaskType>&, const DeviceType&);  \
  COCA_EXTERN template void forward(                                                         \
      const ForwardCall<float, float, float, float, WithLogits<Scheme, SoftCap>, MaskType>&, \
      const DeviceType&);
#define COCA_EXTERN_SCHEME(Scheme)                      \
  COCA_EXTERN_DEVICES(COCA_EXTERN_KERNEL, Scheme, Full) \
  COCA_EXTERN_DEVICES(COCA_EXTERN_KERNEL, Scheme, Causal)

namespace coca::inline v0::detail {

COCA_EXTERN_SCHEME(Dot)
COCA_EXTERN_SCHEME(Rotary)
COCA_EXTERN_SCHEME(CocaStrict<>)
COCA_EXTERN_SCHEME(CocaSlack<>)

}  // namespace coca::inline v0::detail

#undef COCA_EXTERN_SCHEME
#undef COCA_EXTERN_KERNEL
#undef COCA_EXTERN_DEVICES
#undef COCA_EXTERN
