#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "language_model/reader.hpp"

namespace language_model {

/// `count` bytes that a model goes on with after a text, drawn with probabilities softmax(logits /
/// temperature); at temperature 0, always the most likely. `wrote` is told each as it comes.
Text generated(Reader& reader, std::span<const Byte> text, Index count, double temperature,
               std::uint64_t seed, const std::function<void(Byte)>& wrote = {});

}  // namespace language_model
