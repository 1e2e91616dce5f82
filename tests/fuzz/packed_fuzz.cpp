#include <algorithm>
#include <numeric>

#include "fuzz/forward_call.hpp"

/// coca::packed_attention under any call: sequences of any lengths, each of which gives what the
/// reference does for it alone.
namespace fuzz {

constexpr std::array kWrong{
    Wrong::nothing,     Wrong::v_keys,      Wrong::v_heads,      Wrong::groups,
    Wrong::k_width,     Wrong::shape,       Wrong::negative,     Wrong::null,
    Wrong::zero_stride, Wrong::scale,       Wrong::soft_cap,     Wrong::lse,
    Wrong::sinks,       Wrong::ids,         Wrong::overlap,      Wrong::workspace,
    Wrong::place,       Wrong::no_starts,   Wrong::starts_begin, Wrong::starts_fall,
    Wrong::starts_end,  Wrong::starts_count};

/// Where sequences begin, in numbers of either width.
class Starts {
 public:
  Starts(const std::vector<Index>& lengths, Choices& choose) : wide_(choose.one_in(2)) {
    starts_.push_back(0);
    for (const Index length : lengths) starts_.push_back(starts_.back() + length);
  }

  void spoil(Wrong wrong, Choices& choose) {
    const auto any = static_cast<std::size_t>(choose.integer(0, std::max<Index>(count() - 1, 0)));
    if (wrong == Wrong::no_starts) starts_.clear();
    if (wrong == Wrong::starts_begin) starts_[0] = choose.pick(std::array{-1, 1, 1 << 30});
    if (wrong == Wrong::starts_fall) {
      if (count() == 0) starts_.push_back(0);
      starts_[any + 1] = starts_[any] - 1;
    }
    if (wrong == Wrong::starts_end) ++starts_.back();
    if (wrong == Wrong::starts_count) starts_.push_back(starts_.back());
  }
  /// How many sequences there are.
  Index count() const { return static_cast<Index>(starts_.size()) - 1; }
  Index first(Index s) const { return starts_[static_cast<std::size_t>(s)]; }
  Index length(Index s) const { return first(s + 1) - first(s); }

  coca::SequenceStarts view() {
    if (wide_) return wide_view_ = {starts_.begin(), starts_.end()};
    return narrow_view_ = {starts_.begin(), starts_.end()};
  }

 private:
  bool wide_;
  std::vector<Index> starts_;
  std::vector<std::int64_t> wide_view_;
  std::vector<std::int32_t> narrow_view_;
};

struct PackedCall : ForwardCall {
  std::vector<Index> query_lengths, key_lengths;

  explicit PackedCall(Choices& c) : ForwardCall(c, kWrong) {
    const Index count = choose.integer(0, 4);
    for (Index s = 0; s < count; ++s) {
      query_lengths.push_back(choose.integer(0, queries));
      key_lengths.push_back(choose.integer(0, keys));
    }
    batch = 1;
    queries = std::accumulate(query_lengths.begin(), query_lengths.end(), Index{0});
    keys = std::accumulate(key_lengths.begin(), key_lengths.end(), Index{0});
  }

  template <class T, class Form>
  void run(const Form& form) {
    Inputs in(*this, form.half_width);
    Operand out({1, queries + more(Wrong::shape), query_heads(), value_dim}, out_type,
                Operand::Use::output, choose);
    const Index strange = in.fill(choose);
    const auto longest = [](const std::vector<Index>& lengths) {
      return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
    };
    const auto count = static_cast<Index>(query_lengths.size());
    const auto tokens = [&](Index entries) {
      return masked_tokens(entries, longest(query_lengths), longest(key_lengths));
    };
    ChosenMask seen = masks.first(tokens(choose.one_in(2) ? 1 : count));
    choose_logits();
    choose_ids_and_sinks();
    options.lse = lse_view();
    if (wrong == Wrong::place && choose.one_in(2)) options.first_query = 0;
    if (wrong == Wrong::place && !options.first_query) options.first_key = 3;

    Starts query_starts(query_lengths, choose), key_starts(key_lengths, choose);
    std::vector<Sequence> sequences;
    for (Index s = 0; s < count; ++s) {
      sequences.push_back({s, 0, query_starts.first(s), key_starts.first(s), query_starts.length(s),
                           key_starts.length(s)});
    }
    (choose.one_in(2) ? query_starts : key_starts).spoil(wrong, choose);
    const coca::SequenceStarts query_view = query_starts.view(), key_view = key_starts.view();
    run_beside<T>(
        form, in, out, strange == 0, seen, tokens(count), sequences,
        [&](const coca::detail::Tensors& tensors, const auto& mask) {
          coca::detail::run_packed<T>(tensors, query_view, key_view, form.scheme, mask, options,
                                      device(two_threads));
        },
        [&] {
          return bytes<T>(coca::detail::packed_sequences(query_view, key_view), form.scheme);
        });
  }
};

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choose(data, size);
  fuzz::one<fuzz::PackedCall>(choose);
  return 0;
}
