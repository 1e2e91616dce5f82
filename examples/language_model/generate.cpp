#include "language_model/generate.hpp"

#include <random>

namespace language_model {
namespace {

Byte draw(const Matrix& logits, double temperature, std::mt19937_64& engine) {
  Index best = 0;
  const float most = logits.row(0).maxCoeff(&best);
  if (temperature == 0.0) return static_cast<Byte>(best);
  const Eigen::RowVectorXd weights =
      ((logits.row(0).array() - most).cast<double>() / temperature).exp();
  std::discrete_distribution<int> distribution(weights.data(), weights.data() + weights.size());
  return static_cast<Byte>(distribution(engine));
}

}  // namespace

Text generated(Reader& reader, std::span<const Byte> text, Index count, double temperature,
               std::uint64_t seed, const std::function<void(Byte)>& wrote) {
  std::mt19937_64 engine(seed);
  Text result;
  Matrix logits = reader.read(text);
  for (Index n = 0; n < count; ++n) {
    const Byte next = draw(logits, temperature, engine);
    result.push_back(next);
    if (wrote) wrote(next);
    if (n + 1 < count) logits = reader.read({&next, 1});
  }
  return result;
}

}  // namespace language_model
