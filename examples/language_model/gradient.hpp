#pragma once

#include <span>

#include "language_model/model.hpp"

namespace language_model {

/// Sequences of one length, one after the other: byte n of a sequence is followed by target n.
struct Batch {
  Index length = 0;
  Text inputs, targets;

  Index sequences() const { return static_cast<Index>(inputs.size()) / length; }
};

/// The mean of -log p(target) over all bytes of a batch, and its gradient by all parameters, which is
/// added to `gradient`, both times `weight`. Attention goes back through coca::attention_backward.
double add_gradient(const Model& model, const Batch& batch, double weight, Parameters& gradient);

}  // namespace language_model
