// EXPECT: the scheme has no rope whose pairs could decay
#include "coca/coca.hpp"

#ifdef COCA_MUST_COMPILE
using Base = coca::Rotary<>;
#else
using Base = coca::Dot;
#endif

void make(const Base& base) { coca::XPos scheme{base}; }
