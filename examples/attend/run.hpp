#pragma once

#include "arguments.hpp"
#include "command_line/npy.hpp"

namespace attend {

using command_line::Array;

/// The files of a call, read.
struct Inputs {
  Array q, k, v;
};

/// Computes and writes the results, in the element type of the inputs.
template <class T>
void run(const Arguments& arguments, const Inputs& inputs);

extern template void run<float>(const Arguments&, const Inputs&);
extern template void run<double>(const Arguments&, const Inputs&);
extern template void run<Eigen::half>(const Arguments&, const Inputs&);

}  // namespace attend
