#pragma once

/// The version of the library, by semantic versioning.

// The one place it is written; CMake reads it from here.

/// A new one may change what callers write. While it is 0, so may a new minor version.
#define COCA_VERSION_MAJOR 0
/// A new one adds to what callers may write.
#define COCA_VERSION_MINOR 1
/// A new one mends.
#define COCA_VERSION_PATCH 0

/// A number to compare with: `#if COCA_VERSION >= 10203` is 1.2.3 or later.
#define COCA_VERSION (COCA_VERSION_MAJOR * 10000 + COCA_VERSION_MINOR * 100 + COCA_VERSION_PATCH)

/// "major.minor.patch"
#define COCA_VERSION_STRING \
  COCA_VERSION_TEXT(COCA_VERSION_MAJOR, COCA_VERSION_MINOR, COCA_VERSION_PATCH)
#define COCA_VERSION_TEXT(major, minor, patch) \
  COCA_VERSION_QUOTE(major) "." COCA_VERSION_QUOTE(minor) "." COCA_VERSION_QUOTE(patch)
#define COCA_VERSION_QUOTE(text) #text
