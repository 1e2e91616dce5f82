#pragma once

/// How much the tests do: of random calls one of COCA_TEST_SHARE, fewer where a sanitizer watches each of
/// them. An emulated processor is some dozens of times slower: there, ranges are sparser as well, and the
/// longest tensors shorter. No case is left out.
namespace test {

#ifndef COCA_TEST_SHARE
#define COCA_TEST_SHARE 1
#endif
#ifdef COCA_TEST_EMULATED
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

/// Of so many random calls, or tokens; at least one.
template <class T>
constexpr T share_of(T all) {
  constexpr T kPart{COCA_TEST_SHARE};
  return (all + kPart - 1) / kPart;
}

}  // namespace test
