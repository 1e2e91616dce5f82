#include "run_impl.hpp"

template void attend::run<Eigen::half>(const Arguments&, const Inputs&);
