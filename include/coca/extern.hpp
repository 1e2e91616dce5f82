#pragma once

#include "coca/coca.hpp"

/// What takes the compiler's time, compiled in one place: the tile products for every instruction set,
/// and the common kernels of attention and its gradients, which are those of float, bfloat16 and half;
/// Dot, Rotary, and CocaStrict and CocaSlack of a non-negative t; Full and Causal. Include this header in place of
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
#define COCA_EXTERN_KERNEL(Scheme, MaskType, DeviceType)                                \
  COCA_EXTERN template void forward(const ForwardCall<float, Scheme, MaskType>&,        \
                                    const DeviceType&);                                 \
  COCA_EXTERN template void backward(const BackwardCall<float, Scheme, MaskType>&,      \
                                     const BackwardPlan&, const BackwardWidths<float>&, \
                                     const DeviceType&);
#define COCA_EXTERN_SCHEME(Scheme)                      \
  COCA_EXTERN_DEVICES(COCA_EXTERN_KERNEL, Scheme, Full) \
  COCA_EXTERN_DEVICES(COCA_EXTERN_KERNEL, Scheme, Causal)

namespace coca::inline v0::detail {

COCA_EXTERN template const TileEngine<float>& tile_engine(Target);
COCA_EXTERN template const TileEngine<double>& tile_engine(Target);
COCA_EXTERN template const CacheFunctions<float>& cache_functions(Target);
COCA_EXTERN template const CacheFunctions<double>& cache_functions(Target);
COCA_EXTERN template const GradientFunctions<float>& gradient_functions(Target);
COCA_EXTERN template const GradientFunctions<double>& gradient_functions(Target);

COCA_EXTERN_SCHEME(Dot)
COCA_EXTERN_SCHEME(Rotary<>)
COCA_EXTERN_SCHEME(CocaStrict<>)
COCA_EXTERN_SCHEME(CocaSlack<>)

}  // namespace coca::inline v0::detail

#undef COCA_EXTERN_SCHEME
#undef COCA_EXTERN_KERNEL
#undef COCA_EXTERN_DEVICES
#undef COCA_EXTERN
