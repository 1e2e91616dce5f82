"""Attention with PyTorch as models have it: queries and keys are made in the type of the tensors, as the
modelling code of Hugging Face's transformers rotates them, and then given to scaled_dot_product_attention."""

import torch
from torch.nn.functional import scaled_dot_product_attention

BASE = 10000.0
MOST_ELEMENTS = 1 << 26  # of keys that depend on the query, at once


def cosines_and_sines(first: int, count: int, dim: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    frequencies = 1.0 / (BASE ** (torch.arange(0, dim, 2, dtype=torch.int64).float() / dim))
    angles = torch.arange(first, first + count).float()[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat([-b, a], dim=-1)


def turned(x: torch.Tensor, first: int) -> torch.Tensor:
    """x [..., tokens, dim]."""
    cosines, sines = cosines_and_sines(first, x.shape[-2], x.shape[-1], x.dtype)
    return x * cosines + rotate_half(x) * sines


def collinear(scheme: str, k: torch.Tensor) -> torch.Tensor:
    """t of CoCA, once for each member of a pair."""
    if scheme.endswith("_x"):
        a, b = k.chunk(2, dim=-1)
        k = torch.relu((a + b) / 2)
    return torch.cat([k, k], dim=-1)


def attention(scheme: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """q [heads, queries, dim], k [heads, keys, ...], v [heads, keys, dim]; of each head for itself."""
    first = k.shape[-2] - q.shape[-2]
    if scheme.startswith("strict"):
        return torch.stack([strict(scheme, *head, first) for head in zip(q, k, v)])
    if scheme == "rotary":
        q, k = turned(q, first), turned(k, 0)
    elif scheme.startswith(("slack", "constrained")):
        if scheme.startswith("constrained"):
            a, b = q.chunk(2, dim=-1)
            q = torch.cat([(a + b) / 2] * 2, dim=-1)
        q, k = q * turned(q, first), turned(collinear(scheme, k), 0)
    return scaled_dot_product_attention(q[None], k[None], v[None])[0]


def strict(scheme: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, first: int) -> torch.Tensor:
    """One head. Every query has keys of its own: so many queries at a time as memory allows."""
    t = collinear(scheme, k)
    turned_q = turned(q, first)
    rows = max(1, MOST_ELEMENTS // t.numel())
    parts = []
    for i in range(0, len(q), rows):
        keys = turned(q[i : i + rows, None] * t, 0)
        values = v.expand(len(keys), *v.shape)
        parts.append(scaled_dot_product_attention(turned_q[i : i + rows, None, None], keys[:, None], values[:, None]))
    return torch.cat(parts)[:, 0, 0]
