/// The kernels that all test programs share.
#define COCA_INSTANTIATE
#include "coca/extern.hpp"
