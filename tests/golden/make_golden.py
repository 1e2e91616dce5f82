#!/usr/bin/env python3
"""Writes the golden files of tests/golden/data: attention as PyTorch computes it, in float64.

Needs numpy and torch; the tests need neither. Inputs are rounded to float32 first, so that float
and double kernels can both be held against the results. Every case is a folder-less group of files
<case>.<tensor>.npy with q, k, v, out and lse, and what else it needs; see golden_test.cpp.

The rotary code is written through complex numbers, and the CoCA scores by einsum over q, the rotated
t and the rotated q, as the code published with the paper (arXiv 2309.08646) does: neither shares a
formula with the library.
"""
import math
import pathlib
import platform

import numpy as np
import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

DATA = pathlib.Path(__file__).parent / "data"
torch.manual_seed(20230915)


def rand(*shape, non_negative=False):
    x = torch.randn(*shape, dtype=torch.float32).double()
    return x.abs() if non_negative else x


def save(case, **tensors):
    for name, x in tensors.items():
        x = x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
        if x.dtype == np.float64 and name not in ("out", "lse"):
            x = x.astype(np.float32)
        np.save(DATA / f"{case}.{name}.npy", np.ascontiguousarray(x))


def heads_first(x):
    return x.transpose(1, 2)


def repeat_heads(x, heads):
    return x.repeat_interleave(heads // x.shape[2], dim=2)


def finish(scores, v, mask=None, bias=None, cap=None, sinks=None):
    """Softmax and values over scores [B, H, M, N]; v [B, N, Hk, D]. Returns out [B, M, H, D], lse."""
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    logits = scores
    if sinks is not None:
        column = sinks.view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        logits = torch.cat([scores, column], dim=-1)
    lse = torch.logsumexp(logits, dim=-1)
    weights = torch.softmax(logits, dim=-1)[..., : scores.shape[-1]]
    out = weights @ heads_first(repeat_heads(v, scores.shape[1]))
    return out.transpose(1, 2), lse


def dot_scores(q, k):
    k = repeat_heads(k, q.shape[2])
    return torch.einsum("bmhd,bnhd->bhmn", q, k) / math.sqrt(q.shape[-1])


def causal(m, n):
    return torch.ones(m, n, dtype=torch.bool).tril(n - m)


def sdpa(case, q, k, v, **options):
    """PyTorch's own operator; the lse from the plain formula."""
    out = scaled_dot_product_attention(
        heads_first(q), heads_first(k), heads_first(v), enable_gqa=q.shape[2] != k.shape[2], **options)
    scores = dot_scores(q, k)
    if options.get("scale") is not None:
        scores = scores * options["scale"] * math.sqrt(q.shape[-1])
    mask, bias = None, None
    attn_mask = options.get("attn_mask")
    if options.get("is_causal"):
        mask = causal(q.shape[1], k.shape[1])
    elif type(attn_mask) is not torch.Tensor and attn_mask is not None:
        mask = causal(q.shape[1], k.shape[1])
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        mask = attn_mask
    elif attn_mask is not None:
        bias = attn_mask
    _, lse = finish(scores, v, mask, bias)
    save(case, q=q, k=k, v=v, out=out.transpose(1, 2), lse=lse)


def rotate(x, positions, layout, rotary_dim=None, base=10000.0):
    """R_n x for x [B, N, H, D], pairs as complex numbers."""
    rotary_dim = rotary_dim or x.shape[-1]
    turning, still = x[..., :rotary_dim], x[..., rotary_dim:]
    theta = base ** (-torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim)
    angle = positions.double().view(1, -1, 1, 1) * theta
    turn = torch.polar(torch.ones_like(angle), angle)
    if layout == "interleaved":
        pairs = torch.view_as_complex(turning.reshape(*turning.shape[:-1], -1, 2).contiguous())
        turned = torch.view_as_real(pairs * turn).flatten(-2)
    else:
        half = rotary_dim // 2
        pairs = torch.complex(turning[..., :half].contiguous(), turning[..., half:].contiguous())
        pairs = pairs * turn
        turned = torch.cat([pairs.real, pairs.imag], dim=-1)
    return torch.cat([turned, still], dim=-1)


def pair_members(x, layout):
    """The two members of every pair, each half as wide as x."""
    if layout == "interleaved":
        return x[..., 0::2], x[..., 1::2]
    return x.chunk(2, dim=-1)


def on_both_members(half, layout):
    """The full-width tensor with `half` on both members of every pair."""
    if layout == "interleaved":
        return half.repeat_interleave(2, dim=-1)
    return torch.cat([half, half], dim=-1)


def coca_scores(q, x, positions, form, layout="half-split"):
    """Scores [B, H, N, N] of queries q [B, N, H, D] and the raw projection x [B, N, Hk, D]."""
    first, second = pair_members(x, layout)
    t = on_both_members(torch.relu((first + second) / 2), layout)
    t = repeat_heads(t, q.shape[2])
    if form == "constrained":
        first, second = pair_members(q, layout)
        q = on_both_members((first + second) / 2, layout)
    turned_q = rotate(q, positions, layout)
    if form == "strict":
        # One key for every (query, key) pair: q_m o t_n, turned to n.
        keys = torch.einsum("bmhd,bnhd->bmnhd", q, t)
        batch, m, n, heads, dim = keys.shape
        keys = keys.permute(0, 1, 3, 2, 4).reshape(batch * m * heads, n, 1, dim)
        keys = rotate(keys, positions, layout).reshape(batch, m, heads, n, dim)
        scores = torch.einsum("bmhd,bmhnd->bhmn", turned_q, keys)
    else:
        scores = torch.einsum("bmhd,bnhd,bmhd->bhmn", q, rotate(t, positions, layout), turned_q)
    return scores / math.sqrt(q.shape[-1])


def main():
    DATA.mkdir(exist_ok=True)
    for old in DATA.glob("*.npy"):
        old.unlink()

    q, k, v = rand(2, 9, 4, 16), rand(2, 9, 4, 16), rand(2, 9, 4, 16)
    sdpa("sdpa_full", q, k, v)
    sdpa("sdpa_causal", q, k, v, is_causal=True)
    sdpa("sdpa_scale", q, k, v, scale=0.7)
    q, k, v = rand(1, 20, 4, 16), rand(1, 150, 2, 16), rand(1, 150, 2, 24)
    sdpa("sdpa_grouped_wide_values", q, k, v)
    q, k, v = rand(1, 20, 2, 16), rand(1, 150, 2, 16), rand(1, 150, 2, 16)
    sdpa("sdpa_causal_bottom_right", q, k, v, attn_mask=causal_lower_right(20, 150))
    q, k, v = rand(2, 7, 4, 8), rand(2, 70, 4, 8), rand(2, 70, 4, 8)
    mask = torch.rand(2, 1, 7, 70) < 0.4
    sdpa("sdpa_boolean", q, k, v, attn_mask=mask)
    np.save(DATA / "sdpa_boolean.mask.npy", mask.numpy().astype(np.float32))
    bias = rand(1, 4, 7, 70)
    sdpa("sdpa_bias", q, k, v, attn_mask=bias)
    save("sdpa_bias", bias=bias)

    q, k, v = rand(1, 70, 4, 16), rand(1, 70, 2, 16), rand(1, 70, 2, 16)
    for case, layout, rotary_dim, first in [
        ("rope_half_split", "half-split", 16, 0), ("rope_interleaved", "interleaved", 16, 0),
        ("rope_partial", "half-split", 8, 0), ("rope_far", "half-split", 16, 1_000_000)]:
        positions = torch.arange(first, first + 70)
        scores = dot_scores(rotate(q, positions, layout, rotary_dim), rotate(k, positions, layout, rotary_dim))
        out, lse = finish(scores, v, causal(70, 70))
        save(case, q=q, k=k, v=v, out=out, lse=lse)

    q, k, v = rand(1, 33, 4, 16), rand(1, 33, 2, 16), rand(1, 33, 2, 16)
    sinks = rand(4)
    out, lse = finish(dot_scores(q, k), v, causal(33, 33), cap=1.5, sinks=sinks)
    save("cap_and_sinks", q=q, k=k, v=v, sinks=sinks, out=out, lse=lse)

    q, x, v = rand(2, 40, 4, 16), rand(2, 40, 2, 16), rand(2, 40, 2, 16)
    for form in ("strict", "slack", "constrained"):
        out, lse = finish(coca_scores(q, x, torch.arange(40), form), v, causal(40, 40))
        save(f"coca_{form}", q=q, k=x, v=v, out=out, lse=lse)
    q, x, v = rand(1, 150, 2, 16), rand(1, 150, 1, 16), rand(1, 150, 1, 16)
    out, lse = finish(coca_scores(q, x, torch.arange(150), "slack"), v, causal(150, 150))
    save("coca_slack_long", q=q, k=x, v=v, out=out, lse=lse)

    # The layout of the paper's equations; its code has the other one.
    q, x, v = rand(1, 33, 4, 16), rand(1, 33, 2, 16), rand(1, 33, 2, 16)
    for form in ("strict", "slack"):
        out, lse = finish(coca_scores(q, x, torch.arange(33), form, "interleaved"), v, causal(33, 33))
        save(f"coca_{form}_interleaved", q=q, k=x, v=v, out=out, lse=lse)
    # Of all schemes only slack can tell where a sequence starts, so only it shows a lost first_key.
    positions = torch.arange(1_000_000, 1_000_033)
    out, lse = finish(coca_scores(q, x, positions, "slack"), v, causal(33, 33))
    save("coca_slack_far", q=q, k=x, v=v, out=out, lse=lse)

    # Queries 0 and 4 see nothing: zeros, and an lse of -inf.
    q, k, v = rand(1, 7, 2, 8), rand(1, 70, 2, 8), rand(1, 70, 2, 8)
    mask = torch.rand(1, 2, 7, 70) < 0.4
    mask[:, :, [0, 4], :] = False
    sdpa("sdpa_hidden_rows", q, k, v, attn_mask=mask)
    np.save(DATA / "sdpa_hidden_rows.mask.npy", mask.numpy().astype(np.float32))

    (DATA / "VERSIONS.txt").write_text(
        f"Written by tests/golden/make_golden.py with Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}.\n")


if __name__ == "__main__":
    main()
