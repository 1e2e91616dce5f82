#pragma once

/// All of coca. Each header also stands alone.

#include "coca/attention.hpp"
#include "coca/cache/paged_cache.hpp"
#include "coca/cache/rolling_cache.hpp"
#include "coca/core/version.hpp"
#include "coca/decode.hpp"
#include "coca/kernel/merge.hpp"
#include "coca/mask/causal.hpp"
#include "coca/mask/full.hpp"
#include "coca/mask/prefix_lm.hpp"
#include "coca/mask/sliding_window.hpp"
#include "coca/mask/tensor_mask.hpp"
#include "coca/packed_attention.hpp"
#include "coca/position/rope.hpp"
#include "coca/position/rotate.hpp"
#include "coca/scheme/coca.hpp"
#include "coca/scheme/dot.hpp"
#include "coca/scheme/logits.hpp"
#include "coca/scheme/one_of.hpp"
#include "coca/scheme/rotary.hpp"
