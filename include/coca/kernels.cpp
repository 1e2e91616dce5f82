// What COCA_COMPILED leaves out of the files that include coca, compiled once: the kernels of all number types and
// instruction sets, for every scheme and mask, and all checks. The CMake target coca::kernels builds it; without CMake,
// compile this file, and all that include coca, with -DCOCA_COMPILED.
#ifndef COCA_COMPILED
#define COCA_COMPILED
#endif
#include "coca/coca.hpp"
//
#include "coca/attention_backward-inl.hpp"
#include "coca/cache/cache_options-inl.hpp"
#include "coca/cache/page_pool-inl.hpp"
#include "coca/cache/paged_cache-inl.hpp"
#include "coca/cache/rolling_cache-inl.hpp"
#include "coca/cache/token_store-inl.hpp"
#include "coca/core/aligned-inl.hpp"
#include "coca/core/error-inl.hpp"
#include "coca/core/parallel-inl.hpp"
#include "coca/core/target-inl.hpp"
#include "coca/decode-inl.hpp"
#include "coca/kernel/backward-inl.hpp"
#include "coca/kernel/checks-inl.hpp"
#include "coca/kernel/decode-inl.hpp"
#include "coca/kernel/forward-inl.hpp"
#include "coca/kernel/load-inl.hpp"
#include "coca/kernel/tile_engine-inl.hpp"
#include "coca/mask/block_sparse-inl.hpp"
#include "coca/mask/global_tokens-inl.hpp"
#include "coca/packed_attention-inl.hpp"
#include "coca/packed_decode-inl.hpp"
#include "coca/position/angle_table-inl.hpp"
#include "coca/position/clex-inl.hpp"
#include "coca/position/multi_rope-inl.hpp"
#include "coca/position/rope-inl.hpp"
#include "coca/position/scaling-inl.hpp"
#include "coca/position/yarn-inl.hpp"

namespace coca::inline v0::detail {

#define COCA_INSTANTIATE(T)                                                                       \
  template const TileEngine<T>& tile_engine(Target);                                              \
  template const PackedTurns<T>& packed_turns(Target);                                            \
  template const Bfloat16Functions<T>* bfloat16_functions(Target);                                \
  template const CacheFunctions<T>& cache_functions(Target);                                      \
  template const GradientFunctions<T>& gradient_functions(Target);                                \
  template const T* contiguous_row(const NarrowEngine*, const TokenRows<const std::byte>&, Index, \
                                   T*);                                                           \
  template void store_row(void (*)(const T*, T*, Index, T), const NarrowEngine*, const T*,        \
                          const TokenRows<std::byte>&, Index, T);                                 \
  template void check_key_rows(const AnyInput&, bool, const void*,                                \
                               const char* (*)(const void*, std::span<const T>));                 \
  template void forward(const ForwardCall<T>&, const AnyDevice&);                                 \
  template std::size_t sequences_bytes<T>(const Sequences&, const AttentionShape&, Index, Index,  \
                                          const AnyDevice&);                                      \
  template void decode_call(const ForwardCall<T>&, const AnyDevice&);                             \
  template std::size_t cached_bytes<T>(const Sequences&, const AttentionShape&, Index, Index,     \
                                       const AnyDevice&);                                         \
  template void backward(const BackwardCall<T>&, const AnyDevice&);                               \
  template std::size_t gradient_bytes<T>(const Sequences&, const AttentionShape&, Index, Index,   \
                                         const AnyDevice&);
COCA_INSTANTIATE(float)
COCA_INSTANTIATE(double)
#undef COCA_INSTANTIATE

}  // namespace coca::inline v0::detail

namespace coca::inline v0 {

template void AngleTable::cos_sin(Position, Index, Index, float*, float*, double) const;
template void AngleTable::cos_sin(Position, Index, Index, double*, double*, double) const;
template detail::PanelTurns<float> Rope::panel_turns() const;
template detail::PanelTurns<double> Rope::panel_turns() const;

}  // namespace coca::inline v0
