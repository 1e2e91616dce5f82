#pragma once

/// How much the tests do. An emulated processor is some dozens of times slower: there, random calls are
/// fewer, ranges sparser, and the longest tensors shorter. No case is left out.
namespace test {

#ifdef COCA_TEST_EMULATED
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

/// Of so many random calls, or tokens; at least one.
template <class T>
constexpr T share_of(T all) {
  constexpr T kPart{kEmulated ? 5 : 1};
  return (all + kPart - 1) / kPart;
}

}  // namespace test
