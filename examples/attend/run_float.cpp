#include "run_impl.hpp"

template void attend::run<float>(const Arguments&, const Inputs&);
