"""The same numbers for every implementation, and what should come out."""

import ml_dtypes
import numpy as np

from points import Point

SEED = 20240607
SAMPLED_TOKENS = 16

# Largest difference from the definition in double, over the root mean square of its row. For double
# it lets pass who takes the softmax in float; the error is on record.
TOLERANCE = {"float32": 1e-3, "float64": 1e-5, "float16": 3e-2, "bfloat16": 2e-1}


def dtype_of(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def random_inputs(point: Point) -> list[np.ndarray]:
    """q, k and v, each [batch, tokens, heads, dim], uniform in [-1, 1)."""
    rng = np.random.default_rng(SEED)
    tensors = []
    for heads in (point.heads, point.key_heads, point.key_heads):
        x = rng.random((point.batch, point.length, heads, point.dim), dtype=np.float32)
        x *= 2
        x -= 1
        tensors.append(x.astype(dtype_of(point.dtype), copy=False))
    return tensors


def sampled_tokens(point: Point) -> np.ndarray:
    count = min(point.length, SAMPLED_TOKENS)
    return np.unique(np.linspace(0, point.length - 1, count).round().astype(int))


def expected_rows(point: Point) -> np.ndarray:
    """Attention of the sampled tokens, in double: [batch, sampled tokens, heads, dim]."""
    q, k, v = random_inputs(point)
    tokens = sampled_tokens(point)
    rows = np.empty((point.batch, len(tokens), point.heads, point.dim))
    for b in range(point.batch):
        for h in range(point.heads):
            keys = k[b, :, h // point.group].astype(np.float64)
            values = v[b, :, h // point.group].astype(np.float64)
            scores = q[b, tokens, h].astype(np.float64) @ keys.T / np.sqrt(point.dim)
            if point.causal:
                scores[np.arange(point.length) > tokens[:, None]] = -np.inf
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            rows[b, :, h] = weights @ values / weights.sum(axis=1, keepdims=True)
    return rows


def largest_error(rows: np.ndarray, expected: np.ndarray) -> float:
    """Over the root mean square of the row: outputs shrink as the keys grow in number."""
    size = np.sqrt(np.mean(expected**2, axis=-1, keepdims=True))
    return float(np.max(np.abs(rows - expected) / size))
