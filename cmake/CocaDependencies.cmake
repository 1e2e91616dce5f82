# Finds each dependency as an installed package, and otherwise fetches a pinned version.
include(FetchContent)

# What to fetch where a package is not installed. Tests and examples only, but for Eigen.
set(COCA_Eigen3_URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz)
set(COCA_Catch2_URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.5.4.tar.gz)
set(COCA_benchmark_URL https://github.com/google/benchmark/archive/refs/tags/v1.8.4.tar.gz)
set(COCA_CLI11_URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz)
set(COCA_xtl_URL https://github.com/xtensor-stack/xtl/archive/refs/tags/0.7.5.tar.gz)
set(COCA_xtensor_URL https://github.com/xtensor-stack/xtensor/archive/refs/tags/0.24.7.tar.gz)

# Packages whose targets are headers alone: their own build is not needed, and not asked to
# configure their tests.
macro(coca_require name)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    message(STATUS "coca: ${name} is not installed, fetching ${COCA_${name}_URL}")
    set(BUILD_TESTING OFF)
    set(EIGEN_BUILD_DOC OFF)
    set(BENCHMARK_ENABLE_TESTING OFF)
    FetchContent_Declare(${name} URL ${COCA_${name}_URL} DOWNLOAD_EXTRACT_TIMESTAMP ON)
    FetchContent_MakeAvailable(${name})
  endif()
endmacro()
