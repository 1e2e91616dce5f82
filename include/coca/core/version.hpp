#pragma once

// The one place the version is written; CMake reads it from here.
#define COCA_VERSION_MAJOR 0
#define COCA_VERSION_MINOR 1
#define COCA_VERSION_PATCH 0
