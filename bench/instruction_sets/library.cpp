#include "library.hpp"

#include <string_view>

#include "coca/coca.hpp"

namespace {

template <class S>
void run(const LibraryCall& c, const S& scheme) {
  const coca::TensorView<float> out(c.out, {1, c.length, c.heads, c.dim});
  const coca::TensorView<const float> q(c.q, {1, c.length, c.heads, c.dim});
  const coca::TensorView<const float> k(c.k, {1, c.length, c.key_heads, scheme.key_dim(c.dim)});
  const coca::TensorView<const float> v(c.v, {1, c.length, c.key_heads, c.dim});
  coca::attention(out, q, k, v, scheme, coca::Causal{});
}

}  // namespace

void library_attention(const LibraryCall* call) {
  if (std::string_view(call->scheme) == "dot") return run(*call, coca::Dot{});
  run(*call, coca::CocaStrict{coca::Rope({.dim = call->dim})});
}

const char* library_flags() { return LIBRARY_FLAGS; }
