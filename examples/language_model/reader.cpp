#include "language_model/reader.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace language_model {
namespace {

constexpr std::array<coca::SequenceId, 1> kSequence{0};  ///< the only one of each cache

coca::RopeScaling scaling(const Reading& reading, const Config& config) {
  const double beyond = std::max(
      1.0, static_cast<double>(reading.length) / static_cast<double>(config.trained_length));
  if (reading.scaling == "none") return {};
  if (reading.scaling == "linear") return coca::Linear{.factor = beyond};
  if (reading.scaling == "ntk") return coca::NtkAware{.factor = reading.factor};
  if (reading.scaling == "dynamic-ntk") {
    return coca::DynamicNtk{.factor = reading.factor, .trained_length = config.trained_length};
  }
  throw std::invalid_argument("scaling: was '" + reading.scaling +
                              "', expected none, linear, ntk or dynamic-ntk");
}

/// A row by its RMS, times a gain.
Matrix norm(const Matrix& x, const Matrix& gain) {
  return layers::rms_norm(x, gain.row(0).transpose(), kNormEpsilon);
}

/// [1, tokens, heads, width of a head].
template <class M>
auto heads_of(M& x, Index heads) {
  return layers::with_heads(x, 1, heads);
}
template <class M>
auto tokens_of(const M& x, Index heads) {
  return coca::View<const float, 3>(x.data(), {x.rows(), heads, x.cols() / heads});
}

}  // namespace

Reader::Reader(const Model& model, const Reading& reading)
    : model_(model),
      reading_(reading),
      attention_(model.config.attention()),
      rope_(model.config.rope(scaling(reading, model.config))) {
  const Config& config = model.config;
  if (reading.mask != "causal" && reading.mask != "streaming" && reading.mask != "lambda") {
    throw std::invalid_argument("mask: was '" + reading.mask +
                                "', expected causal, streaming or lambda");
  }
  const coca::CacheOptions options{
      .key_heads = config.heads, .key_dim = attention_.key_dim(), .value_dim = config.head_dim};
  for (Index layer = 0; layer < config.layers; ++layer) {
    if (reading.mask == "streaming") {
      const coca::RollingOptions rolling{.sinks = reading.sinks,
                                         .window = config.trained_length - reading.sinks};
      auto cache = std::make_unique<coca::RollingCache>(options, rolling);
      cache->add();
      caches_.emplace_back(std::move(cache));
    } else {
      auto cache = std::make_unique<coca::GrowingCache>(options);
      cache->add();
      caches_.emplace_back(std::move(cache));
    }
  }
  if (reading.mask == "lambda") {
    // Refuses what it cannot be.
    coca::DistanceCeiling(make_scheme(attention_.scheme, rope_), config.trained_length - 1);
  }
}

Matrix Reader::read(std::span<const Byte> text, Index wanted) {
  Matrix rows(wanted, model_.config.width());
  const Index first_wanted = static_cast<Index>(text.size()) - wanted;
  for (Index done = 0; done < static_cast<Index>(text.size());) {
    const Index count = next_chunk(static_cast<Index>(text.size()) - done);
    const Matrix x =
        read_chunk(text.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(count)));
    const Index skip = std::clamp<Index>(first_wanted - done, 0, count);
    rows.middleRows(std::max<Index>(done - first_wanted, 0), count - skip) =
        x.bottomRows(count - skip);
    done += count;
  }
  return norm(rows, model_.parameters.norm) * model_.parameters.embedding.transpose();
}

Index Reader::next_chunk(Index left) const {
  if (reading_.mask != "streaming") return std::min<Index>(left, 256);
  // Tokens that drop others from the cache come one by one: each sees the cache as it was for it.
  const Index room = model_.config.trained_length - read_;
  return room > 0 ? std::min(left, room) : 1;
}

Matrix Reader::read_chunk(std::span<const Byte> text) {
  read_ += static_cast<Index>(text.size());
  const Scheme scheme =
      make_scheme(attention_.scheme, rope_.at_length(std::max(reading_.length, read_)));
  Matrix x = embed(model_.parameters, text, last_);
  last_ = text.back();
  for (std::size_t layer = 0; layer < caches_.size(); ++layer) {
    const Block& block = model_.parameters.blocks[layer];
    const Matrix y = norm(x, block.attention_norm);
    x += block.attention.o_proj(
        attend(caches_[layer], scheme, layers::project(attention_, block.attention, y)));
    const Matrix z = norm(x, block.feed_forward_norm);
    x += block.down(layers::swiglu(block.gate(z), block.up(z)));
  }
  return x;
}

Matrix Reader::attend(Cache& cache, const Scheme& scheme,
                      const layers::AttentionOperands& operands) const {
  const Config& config = model_.config;
  Matrix attended(operands.q.rows(), operands.q.cols());
  const auto out = heads_of(attended, config.heads);
  const auto q = heads_of(operands.q, config.heads);
  std::visit(
      [&](auto& keys) {
        keys->append(kSequence[0], tokens_of(operands.key, config.heads),
                     tokens_of(operands.v, config.heads));
      },
      cache);
  if (const auto* rolling = std::get_if<std::unique_ptr<coca::RollingCache>>(&cache)) {
    coca::decode(out, q, **rolling, kSequence, scheme);
    return attended;
  }
  const auto& growing = *std::get<std::unique_ptr<coca::GrowingCache>>(cache);
  if (reading_.mask == "lambda") {
    const Index farthest = config.trained_length - 1;
    coca::decode(
        out, q, growing, kSequence, coca::DistanceCeiling(scheme, farthest),
        coca::Causal{} & (coca::SinkTokens{reading_.sinks} | coca::SlidingWindow{farthest, 0}));
  } else {
    coca::decode(out, q, growing, kSequence, scheme);
  }
  return attended;
}

std::size_t Reader::cache_bytes() const {
  std::size_t sum = 0;
  for (const Cache& cache : caches_) {
    sum += std::visit([](const auto& keys) { return keys->bytes(); }, cache);
  }
  return sum;
}

}  // namespace language_model
