#include "run_impl.hpp"

template void attend::run<double>(const Arguments&, const Inputs&);
