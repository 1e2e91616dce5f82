#include "coca/kernel/forward_block.hpp"
#include "fuzz/forward_call.hpp"

/// The front door under any call. A right one gives what the reference does in every row that meets
/// ordinary numbers only, whatever the others meet, and writes nothing else; a wrong one throws
/// std::invalid_argument and writes nothing.
namespace fuzz {

constexpr std::array kWrong{Wrong::nothing,  Wrong::k_batch,     Wrong::v_keys, Wrong::v_heads,
                            Wrong::groups,   Wrong::k_width,     Wrong::shape,  Wrong::negative,
                            Wrong::null,     Wrong::zero_stride, Wrong::scale,  Wrong::soft_cap,
                            Wrong::lse,      Wrong::sinks,       Wrong::ids,    Wrong::overlap,
                            Wrong::workspace};

struct AttentionCall : ForwardCall {
  explicit AttentionCall(Choices& c) : ForwardCall(c, kWrong) {
    if (c.seed % 32 != 31) return;
    // So many keys that sums join totals.
    batch = key_heads = group = 1;
    queries = 1 + queries % 6;
    keys = coca::detail::kBlocksOfASum * coca::detail::kTileKeys + 1 +
           static_cast<Index>(c.values() % 400);
    dim = 2;
    value_dim = 1 + value_dim % 4;
  }

  template <class T, class Form>
  void run(const Form& form) {
    Inputs in(*this, form.half_width);
    Operand out({batch, queries + more(Wrong::shape), query_heads(), value_dim}, out_type,
                Operand::Use::output, choose);
    const Index strange = in.fill(choose);
    ChosenMask seen = masks.first(masked_tokens(1, queries, keys));
    choose_logits();
    choose_places();
    choose_ids_and_sinks();
    options.lse = lse_view();
    std::vector<Sequence> sequences;
    for (Index b = 0; b < batch; ++b) sequences.push_back({b, b, 0, 0, queries, keys});
    run_beside<T>(
        form, in, out, strange == 0, seen, masked_tokens(batch, queries, keys), sequences,
        [&](const coca::detail::Tensors& tensors, const auto& mask) {
          coca::detail::run_attention<T>(tensors, form.scheme, mask, options, device(two_threads));
        },
        [&] { return bytes<T>({.count = batch, .queries = queries, .keys = keys}, form.scheme); });
  }
};

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choose(data, size);
  fuzz::one<fuzz::AttentionCall>(choose);
  return 0;
}
