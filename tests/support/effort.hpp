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

/// The address sanitizer ends a program that asks for more memory than there can be.
#if defined(__SANITIZE_ADDRESS__)
#define COCA_TEST_ADDRESSES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COCA_TEST_ADDRESSES 1
#endif
#endif
#ifdef COCA_TEST_ADDRESSES
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

/// Of so many random calls, or tokens; at least one.
template <class T>
constexpr T share_of(T all) {
  constexpr T kPart{COCA_TEST_SHARE};
  return (all + kPart - 1) / kPart;
}

}  // namespace test
