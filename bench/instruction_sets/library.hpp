#pragma once

#include <cstdint>

/// The library behind a C interface, to be built more than once and loaded side by side.

/// out, q, k and v in float, rows one after another: [1, length, heads, dim], causal. The key
/// operand of "strict" has half the width.
struct LibraryCall {
  const char* scheme;  ///< "dot" or "strict"
  float* out;
  const float* q;
  const float* k;
  const float* v;
  std::int64_t length, heads, key_heads, dim;
};

extern "C" [[gnu::visibility("default")]] void library_attention(const LibraryCall* call);
extern "C" [[gnu::visibility("default")]] const char* library_flags();

using LibraryAttention = decltype(library_attention);
using LibraryFlags = decltype(library_flags);
