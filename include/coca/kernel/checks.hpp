#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include "coca/core/aligned.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/compiled.hpp"
#include "coca/core/error.hpp"
#include "coca/core/memory_view.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/scheme.hpp"

/// What is asked of a call before anything is computed: of its types when it is compiled, of its
/// sizes, memory and options when it is made.
namespace coca::inline v0::detail {

COCA_FUNCTION void check_extents(std::string_view name, const MemoryView& x);
COCA_FUNCTION void check_view(std::string_view name, const MemoryView& x);
/// A tensor to write into: its elements lie apart from each other as far as strides can tell.
COCA_FUNCTION void check_output(std::string_view name, const MemoryView& x);
COCA_FUNCTION void check_apart(std::string_view out_name, const MemoryView& out,
                               std::string_view in_name, const MemoryView& in);

/// The sizes of a call by the shapes of its inputs. `packed`: the caller's tensors have no batch
/// axis, so texts should not speak of one.
COCA_FUNCTION AttentionShape check_inputs(const AnyInput& q, const AnyInput& k, const AnyInput& v,
                                          bool packed = false);
/// That the output has the shape that follows from the inputs, and memory of its own.
COCA_FUNCTION void check_result(const Tensors& tensors, const AttentionShape& shape,
                                bool packed = false);
COCA_FUNCTION AttentionShape check_tensors(const Tensors& tensors, bool packed = false);

/// That memory to be written lies apart from the tensors.
COCA_FUNCTION void check_apart_from_tensors(std::string_view name, const MemoryView& x,
                                            const Tensors& tensors);
/// The options that both passes read.
COCA_FUNCTION void check_inputs_of_options(const AttentionOptions& options,
                                           const AttentionShape& shape);
/// That memory to be written lies apart from what the options bring to be read.
COCA_FUNCTION void check_apart_from_options(std::string_view name, const MemoryView& x,
                                            const AttentionOptions& options);
inline View<std::byte, 1> workspace_view(const AttentionOptions& options) {
  return {options.workspace.data(), {static_cast<Index>(options.workspace.size())}};
}
COCA_FUNCTION void check_options(const AttentionOptions& options, const AttentionShape& shape,
                                 const Tensors& tensors);
/// The factor on every score.
COCA_FUNCTION double score_scale(const AttentionOptions& options, const AttentionShape& shape);

/// The widths that a scheme says it has.
struct SchemeWidths {
  Index score;  ///< of phi and psi
  Index key;    ///< of the key operand
  bool keeps_queries;
  bool keeps_keys;
};
/// That they fit a call whose key operand is `key_width` wide.
COCA_FUNCTION void check_widths(const SchemeWidths& widths, Index query_dim, Index key_width,
                                std::string_view name);

/// That the scheme fits the call, takes key operands this wide, and says how wide its maps are. Returns the latter.
template <Real T, class S>
Index check_scheme(const S& scheme, Index key_width, const AttentionShape& shape,
                   std::string_view name = "k.shape[3] (width of the key operand)") {
  scheme.check(shape);
  const SchemeWidths widths{static_cast<Index>(scheme.score_dim(shape.query_dim)),
                            static_cast<Index>(scheme.key_dim(shape.query_dim)), KeepsQueries<S, T>,
                            KeepsKeys<S, T>};
  check_widths(widths, shape.query_dim, key_width, name);
  return widths.score;
}

/// Checked mode: no key operand that `defect` finds fault with.
template <Real T>
void check_key_rows(const AnyInput& k, bool packed, const void* scheme,
                    const char* (*defect)(const void* scheme, std::span<const T> key));
template <Real T, class S>
void check_keys(const S& scheme, const AnyInput& k, bool packed) {
  if constexpr (ChecksKeys<S, T>) {
    check_key_rows<T>(k, packed, &scheme, [](const void* any, std::span<const T> key) {
      return static_cast<const char*>(static_cast<const S*>(any)->key_defect(key));
    });
  }
}

/// Whether the types of a call fit together; if not, the one message that says why not, and
/// nothing after it.
template <class Out, class Q, class K, class V, class S, class M, class D>
constexpr bool checked_types() {
  if constexpr (!(TensorLike<Out> && TensorLike<Q> && TensorLike<K> && TensorLike<V>)) {
    static_assert(TensorLike<Out> && TensorLike<Q> && TensorLike<K> && TensorLike<V>,
                  "coca::attention: out, q, k and v must be tensors with four axes, or matrices, "
                  "with memory behind them; evaluate expressions first");
    return false;
  } else {
    constexpr bool writable = !std::is_const_v<typename ValueOf<ViewOf<Out>>::type>;
    constexpr bool elements = Element<ElementOf<Out>> && Element<ElementOf<Q>> &&
                              Element<ElementOf<K>> && Element<ElementOf<V>>;
    if constexpr (!writable) {
      static_assert(writable, "coca::attention: out is const, so nothing can be written to it");
      return false;
    } else if constexpr (!elements) {
      static_assert(elements,
                    "coca::attention: elements must be float, double, Eigen::bfloat16 or "
                    "Eigen::half");
      return false;
    } else if constexpr (!Compatible<ElementOf<Out>, ElementOf<Q>, ElementOf<K>, ElementOf<V>>) {
      static_assert(Compatible<ElementOf<Out>, ElementOf<Q>, ElementOf<K>, ElementOf<V>>,
                    "coca::attention: double goes with double only; convert, or use one type");
      return false;
    } else if constexpr (!Scheme<S, Accumulator<ElementOf<Q>>>) {
      static_assert(Scheme<S, Accumulator<ElementOf<Q>>>,
                    "coca::attention: the scheme lacks a member, or has it with another type; see "
                    "SchemeDefaults in coca/scheme/scheme.hpp");
      return false;
    } else if constexpr (!Mask<M>) {
      static_assert(Mask<M>,
                    "coca::attention: the mask lacks a member, or has it with another type; see "
                    "MaskDefaults in coca/mask/mask.hpp");
      return false;
    } else if constexpr (!Device<D>) {
      static_assert(Device<D>,
                    "coca::attention: the device must be Eigen::DefaultDevice or "
                    "Eigen::ThreadPoolDevice");
      return false;
    } else {
      // A hook that is there under its name but cannot be called would be passed over in silence.
      static_assert(
          !requires { &S::logit; } || TransformsLogits<S, Accumulator<ElementOf<Q>>>,
          "coca::attention: the scheme's logit must be `T logit(T, const Site&) const`");
      static_assert(
          !requires { &M::bias; } || Biased<M>,
          "coca::attention: the mask's bias must be `number bias(const Site&) const`");
      return true;
    }
  }
}

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/kernel/checks-inl.hpp"
#endif
