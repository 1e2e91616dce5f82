#pragma once

#include <concepts>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>
#include <type_traits>

#include "coca/core/aligned.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

/// Where sequences begin in a tensor that holds them one behind the other.
namespace coca::inline v0 {

namespace detail {
template <class I>
concept StartNumber = std::same_as<I, std::int32_t> || std::same_as<I, std::int64_t>;
template <class R, class I>
concept RangeOf = requires(const R& range) {
  std::span<const I>(range);
};
}  // namespace detail

/// The places of the first tokens of packed sequences, and behind them the number of all tokens: 0,
/// n_0, n_0 + n_1, ..., as model code has it in cu_seqlens. A view of a contiguous range, a tensor
/// of one axis or an Eigen vector, of 32- or 64-bit signed integers. What it views must outlive it;
/// a temporary is safe as an argument of the call itself.
class SequenceStarts {
 public:
  /// Of a contiguous range: std::vector, std::array, std::span.
  template <class R>
    requires(!detail::Viewable<R> &&
             (detail::RangeOf<R, std::int32_t> || detail::RangeOf<R, std::int64_t>))
  SequenceStarts(const R& starts)
      : SequenceStarts(std::data(starts), static_cast<Index>(std::size(starts)), 1) {}

  /// Of a tensor or std::mdspan with one axis, of any stride.
  template <detail::Viewable X>
    requires(detail::RankOf<ViewOf<const X&>>::value == 1 &&
             detail::StartNumber<ElementOf<const X&>>)
  SequenceStarts(const X& starts)
      : SequenceStarts(view(starts).data, view(starts).shape[0], view(starts).strides[0]) {}

  /// Of an Eigen vector.
  template <detail::EigenMatrix X>
    requires(bool(X::IsVectorAtCompileTime) && detail::StartNumber<typename X::Scalar>)
  SequenceStarts(const X& starts)
      : SequenceStarts(starts.data(), starts.size(), starts.innerStride()) {}

  /// How many numbers there are: one more than there are sequences.
  Index size() const { return size_; }

  /// Rejects numbers that are not aligned as their type.
  void check_aligned(std::string_view argument) const {
    const auto check = [&]<class I>(const I* starts) {
      detail::check_aligned(argument, View<const I, 1>(starts, {size_}, {step_}));
    };
    wide_ != nullptr ? check(wide_) : check(narrow_);
  }

  /// Where sequence i begins; at size() - 1, all tokens.
  Index operator[](Index i) const {
    return wide_ != nullptr ? static_cast<Index>(wide_[i * step_])
                            : static_cast<Index>(narrow_[i * step_]);
  }

 private:
  template <detail::StartNumber I>
  SequenceStarts(const I* starts, Index size, Index step) : size_(size), step_(step) {
    if constexpr (std::same_as<I, std::int32_t>) {
      narrow_ = starts;
    } else {
      wide_ = starts;
    }
  }

  const std::int32_t* narrow_ = nullptr;
  const std::int64_t* wide_ = nullptr;
  Index size_ = 0;
  Index step_ = 1;
};

}  // namespace coca::inline v0
