/// The kernels that all test programs share.
#define EIGEN_USE_THREADS
#define COCA_INSTANTIATE
#include "coca/extern.hpp"
