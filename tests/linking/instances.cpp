#define COCA_INSTANTIATE
#include <coca/extern.hpp>
