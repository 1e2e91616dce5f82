"""Attention in double, from the formulas of docs/mathematics.md and nothing of the library."""

import torch

BASE = 10000.0


def turned(x: torch.Tensor, first: int) -> torch.Tensor:
    """R_n x of rows n = first, first + 1, ...: pairs (x_j, x_{j + d/2}) by the angle n base^(-2j/d)."""
    half = x.shape[-1] // 2
    positions = torch.arange(first, first + x.shape[-2], dtype=torch.float64)
    angles = positions[:, None] * BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)


def collinear(scheme: str, k: torch.Tensor) -> torch.Tensor:
    """t of CoCA, from its projection x where that is given."""
    if scheme.endswith("_t"):
        return k
    half = k.shape[-1] // 2
    return torch.relu((k[:, :half] + k[:, half:]) / 2)


def strict_row(q: torch.Tensor, at: int, t: torch.Tensor) -> torch.Tensor:
    """Strict CoCA as defined, of one query: (R_m q) . (R_n (q o t))."""
    keys = turned(q * torch.cat([t, t], dim=-1), 0)
    return keys @ turned(q[None], at)[0]


def scores(scheme: str, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """[queries, keys], unscaled; the last query stands where the last key does."""
    first = len(k) - len(q)
    if scheme == "dot":
        return q @ k.T
    if scheme == "rotary":
        return turned(q, first) @ turned(k, 0).T
    t = collinear(scheme, k)
    if scheme.startswith("constrained"):
        mean = (q[:, : q.shape[-1] // 2] + q[:, q.shape[-1] // 2 :]) / 2
        q = torch.cat([mean, mean], dim=-1)
    if scheme.startswith(("slack", "constrained")):
        return (q * turned(q, first)) @ turned(torch.cat([t, t], dim=-1), 0).T
    # The same numbers as in strict_row, in less memory: t_j |q_j|^2 cos((m - n) theta_j).
    half = q.shape[-1] // 2
    lengths = q[:, :half] ** 2 + q[:, half:] ** 2
    pad = torch.zeros_like
    found = (
        turned(torch.cat([lengths, pad(lengths)], dim=-1), first) @ turned(torch.cat([t, pad(t)], dim=-1), 0).T
    )
    torch.testing.assert_close(found[0], strict_row(q[0], first, t), rtol=1e-9, atol=1e-9)
    return found


def attention(scheme: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """One head: q [queries, dim], k [keys, dim or dim/2], v [keys, dim], of any type."""
    q, k, v = (x.double() for x in (q, k, v))
    return torch.softmax(scores(scheme, q, k) / q.shape[-1] ** 0.5, dim=-1) @ v
