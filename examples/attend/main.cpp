#include <exception>
#include <iostream>
#include <stdexcept>

#include "arguments.hpp"
#include "npy.hpp"
#include "run.hpp"

/// Exit codes: 0 done, 1 wrong values or shapes, 2 wrong command line, 3 a file that cannot be read
/// or written or holds another kind of array. Nothing is written unless all is well.
int main(int argc, char** argv) {
  attend::Arguments arguments;
  if (const auto code = attend::parse(argc, argv, arguments)) return *code;
  try {
    using attend::DType;
    const attend::Inputs inputs{attend::read_npy(arguments.q), attend::read_npy(arguments.k),
                                attend::read_npy(arguments.v)};
    switch (inputs.q.dtype) {
      case DType::float16:
        attend::run<Eigen::half>(arguments, inputs);
        break;
      case DType::float32:
        attend::run<float>(arguments, inputs);
        break;
      case DType::float64:
        attend::run<double>(arguments, inputs);
        break;
      default:
        throw attend::FileError(arguments.q + " holds " + attend::name_of(inputs.q.dtype) +
                                ", expected float16, float32 or float64");
    }
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << "attend: " << error.what() << '\n';
    return 1;
  } catch (const attend::FileError& error) {
    std::cerr << "attend: " << error.what() << '\n';
    return 3;
  } catch (const std::exception& error) {
    std::cerr << "attend: " << error.what() << '\n';
    return 1;
  }
}
