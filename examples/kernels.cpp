/// The kernels that several examples share, compiled once (coca/extern.hpp).
#define EIGEN_USE_THREADS
#define COCA_INSTANTIATE
#include <coca/extern.hpp>
