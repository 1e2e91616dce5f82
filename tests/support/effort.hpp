#pragma once

#include <cstdlib>

/// How much the tests do. The environment variable COCA_TEST_SHARE divides the number of random calls;
/// scripts/test.sh sets it. An emulated processor is some dozens of times slower: there, ranges
/// are sparser as well, and the longest tensors shorter. No case is left out.
namespace test {

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

/// What COCA_TEST_SHARE says; 1 where nothing is set.
inline int test_share() {
  static const int share = [] {
    const char* text = std::getenv("COCA_TEST_SHARE");
    const int number = text == nullptr ? 1 : std::atoi(text);
    return number < 1 ? 1 : number;
  }();
  return share;
}

/// The number of random calls, or tokens, out of `all`; at least one.
template <class T>
T share_of(T all) {
  const T part{static_cast<T>(test_share())};
  return (all + part - 1) / part;
}

}  // namespace test
