#pragma once

#include "coca/core/compiled.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/tile_functions.hpp"

/// The hot loops of a tile (tile_engine/*.inc), compiled for each instruction set, and the choice of
/// one when the program runs.
namespace coca::inline v0::detail {

/// The functions for one target, which must be available.
template <Real T>
const TileEngine<T>& tile_engine(Target which);
/// Those of packed keys that turn.
template <Real T>
const PackedTurns<T>& packed_turns(Target which);
/// The products of bfloat16, if the processor has instructions for them; else null.
template <Real T>
const Bfloat16Functions<T>* bfloat16_functions(Target which);
/// Those of decoding.
template <Real T>
const CacheFunctions<T>& cache_functions(Target which);
/// Those of the backward pass.
template <Real T>
const GradientFunctions<T>& gradient_functions(Target which);
COCA_FUNCTION const NarrowEngine& narrow_engine(Target which);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/kernel/tile_engine-inl.hpp"
#endif
