#define COCA_TEST_INSTANTIATE
#include "distributed/kernels.hpp"
