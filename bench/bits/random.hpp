#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string_view>

/// Pseudo-random choices and a hash, both the same with every compiler and standard library.
namespace bits {

using Index = std::ptrdiff_t;

/// SplitMix64 (Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  /// From low to high, both included.
  Index integer(Index low, Index high) {
    return low + static_cast<Index>(next() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool one_in(Index count) { return integer(1, count) == 1; }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[integer(0, static_cast<Index>(values.size()) - 1)];
  }
  /// In [-1, 1): a multiple of 2^-23, which float holds exactly.
  float unit() { return static_cast<float>(static_cast<int>(next() >> 40) - (1 << 23)) * 0x1p-23F; }

 private:
  std::uint64_t state_;
};

/// FNV-1a in 64 bits.
class Hash {
 public:
  void add_bytes(const void* data, std::size_t bytes) {
    const auto* byte = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i) value_ = (value_ ^ byte[i]) * 0x100000001b3ULL;
  }
  void add(std::string_view text) { add_bytes(text.data(), text.size()); }
  void add(std::uint64_t number) { add_bytes(&number, sizeof number); }
  /// The bits of numbers. Every NaN counts as the same one: which NaN an addition of two returns is the
  /// compiler's choice, not the library's.
  template <class T>
  void add_numbers(const T* numbers, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const bool is_nan = !(numbers[i] == numbers[i]);
      if (is_nan) {
        add("NaN");
      } else {
        add_bytes(&numbers[i], sizeof(T));
      }
    }
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace bits
