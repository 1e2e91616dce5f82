#pragma once

#include <coca/core/version.hpp>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

#include "command_line/npy.hpp"

/// What the programs over .npy files share from outside.
namespace command_line {

inline std::string version() {
  return std::to_string(COCA_VERSION_MAJOR) + "." + std::to_string(COCA_VERSION_MINOR) + "." +
         std::to_string(COCA_VERSION_PATCH);
}

/// Runs a program and returns its exit code: 0 done, 1 wrong values or shapes, 3 a file that cannot
/// be read or written or holds another kind of array. (2 is a wrong command line.)
template <class Program>
int run_program(const char* name, const Program& program) {
  try {
    program();
    return 0;
  } catch (const FileError& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 3;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 1;
  }
}

/// Calls `run` with a value of the element type that queries have in their file.
template <class Run>
void with_element_type(const Array& q, const Run& run) {
  switch (q.dtype) {
    case DType::float16:
      return run(Eigen::half{});
    case DType::float32:
      return run(float{});
    case DType::float64:
      return run(double{});
    default:
      throw FileError(q.path + " holds " + name_of(q.dtype) +
                      ", expected float16, float32 or float64");
  }
}

}  // namespace command_line
