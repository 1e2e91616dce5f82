#pragma once

/// Header-only or compiled: what does not depend on the caller's types is defined in files that end in -inl.hpp.
/// Header-only, the default, each header includes its own. With COCA_COMPILED the program links to one compiled
/// source, coca/kernels.cpp, that includes all of them, and callers compile declarations alone. The CMake target
/// coca::kernels brings both.

#if defined(COCA_COMPILED)
/// Before functions that are compiled once.
#define COCA_FUNCTION
#else
/// Before functions that would be compiled once where COCA_COMPILED is defined.
#define COCA_FUNCTION inline
#endif
