"""The same numbers for every implementation, and what should come out."""

import functools

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
    """q, k and v, each [batch, tokens, heads, dim], uniform in [-1, 1). Not rotated. And the gradient of the
    result, where gradients are asked for."""
    rng = np.random.default_rng(SEED)
    tensors = []
    rows = (point.queries, point.heads)
    for tokens, heads in (rows, *[(point.length, point.key_heads)] * 2, *[rows] * (point.task != "forward")):
        x = rng.random((point.batch, tokens, heads, point.dim), dtype=np.float32)
        x *= 2
        x -= 1
        tensors.append(x.astype(dtype_of(point.dtype), copy=False))
    return tensors


@functools.lru_cache(maxsize=2)
def turns(first: int, count: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of so many positions: [count, half]."""
    angles = np.arange(first, first + count)[:, None] * 10000.0 ** (-np.arange(half) / half)
    return np.cos(angles), np.sin(angles)


def rotated(x: np.ndarray, first: int) -> np.ndarray:
    """Rotary positions from `first` on, of tokens [tokens, ..., dim]: pairs (x_j, x_{j + dim/2}) by
    angles of position * 10000^(-2j/dim), in double."""
    half = x.shape[-1] // 2
    cosine, sine = (f.reshape(len(x), *[1] * (x.ndim - 2), half) for f in turns(first, len(x), half))
    a, b = x[..., :half].astype(np.float64), x[..., half:].astype(np.float64)
    return np.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=-1)


def rotate(x: np.ndarray, last: int) -> None:
    """In place, some tokens at a time, so that the last of [batch, tokens, heads, dim] is at `last`: for
    implementations whose caches hold rotated keys."""
    tokens = x.shape[1]
    for sequence in x:
        for i in range(0, tokens, 1024):
            sequence[i : i + 1024] = rotated(sequence[i : i + 1024], last - tokens + 1 + i).astype(x.dtype)


def sampled_tokens(point: Point) -> np.ndarray:
    """Among the queries."""
    count = min(point.queries, SAMPLED_TOKENS)
    # The first of causal queries sees one key, and has a gradient of 0.
    first = 0 if point.task == "forward" else 1
    return np.unique(np.linspace(first, point.queries - 1, count).round().astype(int))


def expected_rows(point: Point) -> np.ndarray:
    """Attention of the sampled tokens, in double: [batch, sampled tokens, heads, dim]. Of gradients, those by
    q, k and v, behind each other as heads are."""
    if point.task != "forward":
        return expected_gradients(point)
    q, k, v = random_inputs(point)
    tokens = sampled_tokens(point)
    rows = np.empty((point.batch, len(tokens), point.heads, point.dim))
    place = tokens + point.length - point.queries  # of each among the keys
    for b in range(point.batch):
        for g in range(point.key_heads):
            keys = k[b, :, g].astype(np.float64)
            values = v[b, :, g].astype(np.float64)
            if point.decode:
                keys = rotated(keys, 0)
            for h in range(g * point.group, (g + 1) * point.group):
                queries = q[b, tokens, h].astype(np.float64)
                if point.decode:
                    queries = rotated(queries, point.length - 1)
                scores = queries @ keys.T / np.sqrt(point.dim)
                if point.causal:
                    scores[np.arange(point.length) > place[:, None]] = -np.inf
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                rows[b, :, h] = weights @ values / weights.sum(axis=1, keepdims=True)
    return rows


def expected_gradients(point: Point) -> np.ndarray:
    q, k, v, dout = (x.astype(np.float64) for x in random_inputs(point))
    tokens = sampled_tokens(point)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    hidden = np.triu(np.ones((point.length, point.length), dtype=bool), 1) if point.causal else None
    for b in range(point.batch):
        for h in range(point.heads):
            g = h // point.group
            scores = q[b, :, h] @ k[b, :, g].T / np.sqrt(point.dim)
            if point.causal:
                scores[hidden] = -np.inf
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            dv[b, :, g] += weights.T @ dout[b, :, h]
            changes = dout[b, :, h] @ v[b, :, g].T
            changes -= (weights * changes).sum(axis=1, keepdims=True)
            changes *= weights / np.sqrt(point.dim)
            dq[b, :, h] = changes @ k[b, :, g]
            dk[b, :, g] += changes.T @ q[b, :, h]
    return np.concatenate([x[:, tokens] for x in (dq, dk, dv)], axis=2)


def largest_error(rows: np.ndarray, expected: np.ndarray) -> float:
    """Over the root mean square of the row: outputs shrink as the keys grow in number."""
    size = np.sqrt(np.mean(expected**2, axis=-1, keepdims=True))
    return float(np.max(np.abs(rows - expected) / size))
