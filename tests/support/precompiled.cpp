// CMake ties a precompiled header to a source file; this one has nothing of its own.
