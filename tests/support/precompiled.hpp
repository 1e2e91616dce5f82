#pragma once

/// What most test files include. CMake compiles it once for all of them.
#include "coca/coca.hpp"
#include "coca/reference/attention.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
