# Finds each dependency as an installed package, and otherwise fetches a pinned version.
include_guard(GLOBAL)
include(FetchContent)

# coca_package(NAME TARGET target URL url [VERSION version [OR_VERSION version]] [HEADERS dir]
#   [LINK target...])
# describes a package to coca_require. With HEADERS it is headers alone, below `dir` of what is
# fetched; its own build is not run then, as it would configure tests and install rules. LINK names
# the targets those headers need in turn.
function(coca_package name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;URL;VERSION;OR_VERSION;HEADERS" "LINK")
  foreach(field IN ITEMS TARGET URL VERSION OR_VERSION HEADERS LINK)
    set(coca_${name}_${field} "${arg_${field}}" PARENT_SCOPE)
  endforeach()
endfunction()

# Users of the headers need Eigen alone; the rest is for tests, examples and benchmarks. (Version 3.4.0
# refuses whoever asks for a range that reaches beyond 3.)
coca_package(Eigen3 TARGET Eigen3::Eigen VERSION 3.4 OR_VERSION 5 HEADERS .
  URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz)
coca_package(Catch2 TARGET Catch2::Catch2
  URL https://github.com/catchorg/Catch2/archive/refs/tags/v3.5.4.tar.gz)
coca_package(benchmark TARGET benchmark::benchmark
  URL https://github.com/google/benchmark/archive/refs/tags/v1.8.4.tar.gz)
coca_package(CLI11 TARGET CLI11::CLI11 HEADERS include
  URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz)
coca_package(nlohmann_json TARGET nlohmann_json::nlohmann_json HEADERS include
  URL https://github.com/nlohmann/json/archive/refs/tags/v3.11.3.tar.gz)
# xtensor, on xtl, for its reader and writer of .npy files.
coca_package(xtl TARGET xtl HEADERS include
  URL https://github.com/xtensor-stack/xtl/archive/refs/tags/0.7.5.tar.gz)
coca_package(xtensor TARGET xtensor HEADERS include LINK xtl
  URL https://github.com/xtensor-stack/xtensor/archive/refs/tags/0.24.7.tar.gz)

# coca_require(NAME) leaves the package's target to link with, seen from everywhere.
function(coca_require name)
  set(target ${coca_${name}_TARGET})
  if(TARGET ${target})
    return()
  endif()
  # The caller's prefixes first, or an older package of the system would go before a newer one there.
  foreach(where IN ITEMS "NO_SYSTEM_ENVIRONMENT_PATH;NO_CMAKE_SYSTEM_PATH" "")
    foreach(version IN ITEMS "${coca_${name}_VERSION}" ${coca_${name}_OR_VERSION})
      if(NOT ${name}_FOUND)
        find_package(${name} ${version} CONFIG QUIET ${where})
      endif()
    endforeach()
  endforeach()
  if(${name}_FOUND)
    # Else a project that adds coca by add_subdirectory could not see what coca links to.
    set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
    return()
  endif()

  message(STATUS "coca: ${name} is not installed, fetching ${coca_${name}_URL}")
  # For what is fetched; the scope of this function keeps it from the rest.
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  set(BUILD_TESTING OFF)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_WERROR OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  if(POLICY CMP0135)
    # DOWNLOAD_EXTRACT_TIMESTAMP as an argument would be an error before CMake 3.24.
    cmake_policy(SET CMP0135 NEW)
  endif()
  set(without_build)
  if(coca_${name}_HEADERS)
    # A folder that does not exist: download, and add nothing.
    set(without_build SOURCE_SUBDIR headers-alone)
  endif()
  FetchContent_Declare(${name} URL ${coca_${name}_URL} ${without_build})
  FetchContent_MakeAvailable(${name})
  if(coca_${name}_HEADERS)
    FetchContent_GetProperties(${name} SOURCE_DIR source)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} INTERFACE ${source}/${coca_${name}_HEADERS})
    target_link_libraries(${target} INTERFACE ${coca_${name}_LINK})
  endif()
endfunction()
