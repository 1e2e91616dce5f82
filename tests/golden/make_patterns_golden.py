#!/usr/bin/env python3
"""Writes tests/golden/patterns: sparse patterns, biases and decays by other people's code, in float64.

Needs numpy, torch and transformers; the tests need none of them. Every case has <case>.out.npy and
<case>.lse.npy; its operands are <operands>.q.npy, .k.npy and .v.npy, of which several cases share some,
rounded to float32 first. See patterns_golden_test.cpp.

Of the Hugging Face library come the mask functions (masking_utils), the biases of BLOOM and MPT, and
the whole attention of Longformer, whose softmax is in float32. What it does not have (the dilated
window of Longformer's paper, blocks from a list, xPos and LM-Infinite's ceiling) is written here from
the papers, the rotations as complex numbers.
"""
import math
import pathlib
import platform

import numpy as np
import torch
import transformers
from transformers import LongformerConfig
from transformers.masking_utils import (
    and_masks, blockwise_overlay, causal_mask_function, chunked_causal_mask_function, or_masks,
    packed_sequence_mask_function, sliding_window_bidirectional_overlay,
    sliding_window_causal_mask_function, sliding_window_overlay)
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

DATA = pathlib.Path(__file__).parent / "patterns"
TOKENS, HEADS, KEY_HEADS, DIM = 48, 4, 2, 8


def save(name, x):
    np.save(DATA / f"{name}.npy", np.ascontiguousarray(x.detach().numpy()))


def operands(name, heads, key_heads, tokens=TOKENS, non_negative=False):
    """q [1, tokens, heads, DIM], k and v with the key heads; k half as wide and not negative for CoCA."""
    q = torch.randn(1, tokens, heads, DIM, dtype=torch.float32)
    k = torch.randn(1, tokens, key_heads, DIM // 2 if non_negative else DIM, dtype=torch.float32)
    v = torch.randn(1, tokens, key_heads, DIM, dtype=torch.float32)
    if non_negative:
        k = k.abs()
    for tensor, x in zip("qkv", (q, k, v)):
        save(f"{name}.{tensor}", x)
    return q.double(), k.double(), v.double()


def repeat_heads(x, heads):
    return x.repeat_interleave(heads // x.shape[2], dim=2)


def finish(case, scores, v, mask=None):
    """Softmax and values over scores [1, H, M, N]."""
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    out = torch.einsum("bhmn,bnhd->bmhd", torch.softmax(scores, -1), repeat_heads(v, scores.shape[1]))
    save(f"{case}.out", out)
    save(f"{case}.lse", torch.logsumexp(scores, -1))
    return out


def dot_scores(q, k):
    return torch.einsum("bmhd,bnhd->bhmn", q, repeat_heads(k, q.shape[2])) / math.sqrt(q.shape[-1])


def evaluated(mask_function, tokens=TOKENS):
    """A mask function of the library at every pair of tokens."""
    places = torch.arange(tokens)
    zero = torch.zeros((), dtype=torch.int64)
    return mask_function(zero, zero, places[:, None], places[None, :]).expand(tokens, tokens)


def masks():
    """Cases of one set of operands that differ in who sees whom alone."""
    m, n = torch.arange(TOKENS)[:, None], torch.arange(TOKENS)[None, :]
    documents = torch.tensor([[0] * 13 + [1] * 5 + [2] * 30])
    prefix = torch.tensor([[0] * 11 + [-1] * 37])
    first = lambda count: lambda batch, head, q_idx, kv_idx: kv_idx < count
    library = {
        "causal_window": sliding_window_causal_mask_function(9),
        "window": sliding_window_bidirectional_overlay(5),
        "sinks_and_window": and_masks(
            causal_mask_function, or_masks(first(3), sliding_window_overlay(10))),
        "documents": and_masks(causal_mask_function, packed_sequence_mask_function(documents)),
        "prefix": or_masks(causal_mask_function, blockwise_overlay(prefix)),
        "chunks": chunked_causal_mask_function(16, torch.zeros(1, dtype=torch.int64)),
    }
    cases = {case: evaluated(function) for case, function in library.items()}
    # Longformer, section 3.1: every third token, two to the left and one to the right.
    cases["dilated"] = ((n - m) % 3 == 0) & (n - m >= -6) & (n - m <= 3)
    # Blocks of 8 from a list, as BigBird and the sparse transformer have them: every row sees some.
    blocks = (torch.rand(6, 6) < 0.3) | torch.eye(6, dtype=torch.bool)
    save("blocks.list", blocks.nonzero().double())
    cases["blocks"] = torch.kron(blocks, torch.ones(8, 8, dtype=torch.bool))
    return cases


def longformer(case, tokens=TOKENS, one_sided=4, global_tokens=(0, 17)):
    """Longformer's own attention. Its projections reorder the coordinates of what comes in, so that q, k
    and v are exact; those of global tokens are the same."""
    width = HEADS * DIM
    layer = LongformerSelfAttention(
        LongformerConfig(hidden_size=width, num_attention_heads=HEADS, attention_window=[2 * one_sided],
                         attention_probs_dropout_prob=0.0), 0).double().eval()
    hidden = torch.randn(1, tokens, width, dtype=torch.float32).double()
    projected = []
    for name in ("query", "key", "value"):
        order = torch.randperm(width)
        for linear in (getattr(layer, name), getattr(layer, name + "_global")):
            linear.weight.data = torch.eye(width, dtype=torch.float64)[order]
            linear.bias.data.zero_()
        projected.append(hidden[..., order].reshape(1, tokens, HEADS, DIM))
        save(f"{case}.{name[0]}", projected[-1].float())
    is_global = torch.zeros(1, tokens, dtype=torch.bool)
    is_global[:, list(global_tokens)] = True
    with torch.no_grad():
        out = layer(hidden, attention_mask=torch.where(is_global, 10000.0, 0.0),
                    is_index_masked=torch.zeros_like(is_global), is_index_global_attn=is_global,
                    is_global_attn=True)[0]
    # The layer keeps its log-sum-exp to itself: it is that of the pattern as the paper draws it.
    m, n = torch.arange(tokens)[:, None], torch.arange(tokens)[None, :]
    mask = ((m - n).abs() <= one_sided) | is_global[0, :, None] | is_global[0, None, :]
    finish(case, dot_scores(*projected[:2]), projected[2], mask)
    save(f"{case}.out", out.reshape(1, tokens, HEADS, DIM))


def alibi(case, heads, key_heads, build):
    """The libraries add slope * n, which differs from -slope * (m - n) by a number for every query."""
    q, k, v = operands(case, heads, key_heads, tokens=24)
    bias = build(heads, 24).double().reshape(heads, 24)
    bias = bias[:, None, :] - bias[:, :, None]
    finish(case, dot_scores(q, k) + bias, v, evaluated(causal_mask_function, 24))


def complex_pairs(x, layout):
    if layout == "interleaved":
        return torch.complex(x[..., 0::2].contiguous(), x[..., 1::2].contiguous())
    first, second = x.chunk(2, dim=-1)
    return torch.complex(first.contiguous(), second.contiguous())


def frequencies():
    return 10000.0 ** (-torch.arange(0, DIM, 2, dtype=torch.float64) / DIM)


def distances():
    places = torch.arange(TOKENS, dtype=torch.float64)
    return places[:, None] - places[None, :]


def pair_scores(q, k, distance, decay=None):
    """Scores of pairs q and k, complex numbers, as a function of the distance: Re(q conj(k) e^{i d theta}),
    times decay^d."""
    turn = torch.exp(1j * distance[..., None] * frequencies())
    if decay is not None:
        turn = turn * decay ** distance[..., None]
    scores = torch.einsum("bmhj,bnhj,mnj->bhmn", q, repeat_heads(k, q.shape[2]).conj(), turn).real
    return scores / math.sqrt(DIM)


def xpos(case, layout):
    """Sun et al. 2023, section 3.2: zeta of pair j is (2j/d + 0.4) / 1.4, here over 512 / 20 tokens, so that it
    shows over 48 of them."""
    q, k, v = operands(case, HEADS, KEY_HEADS)
    zeta = (torch.arange(0, DIM, 2, dtype=torch.float64) / DIM + 0.4) / 1.4
    scores = pair_scores(complex_pairs(q, layout), complex_pairs(k, layout), distances(),
                         zeta ** (20.0 / 512.0))
    finish(case, scores, v, evaluated(causal_mask_function))


def ceiling(scheme, most=12):
    """Han et al. 2024, section 4.1: the distance min(m - n, most), under the Lambda-shaped mask."""
    case = f"ceiling_{scheme}"
    q, k, v = operands(case, HEADS, KEY_HEADS, non_negative=scheme == "strict")
    pairs = complex_pairs(q, "half-split")
    distance = distances().clamp(max=most)
    if scheme == "strict":
        # A CoCA key is the query, pair by pair times t: q conj(q t) = |q|^2 t.
        scores = pair_scores(pairs.abs().square() + 0j, k + 0j, distance)
    else:
        scores = pair_scores(pairs, complex_pairs(k, "half-split"), distance)
    lambda_mask = and_masks(causal_mask_function, or_masks(
        lambda batch, head, q_idx, kv_idx: kv_idx < 3, sliding_window_overlay(20)))
    finish(case, scores, v, evaluated(lambda_mask))


def main():
    torch.manual_seed(20240304)
    DATA.mkdir(exist_ok=True)
    for old in DATA.glob("*"):
        old.unlink()

    q, k, v = operands("masks", HEADS, KEY_HEADS)
    for case, mask in masks().items():
        finish(case, dot_scores(q, k), v, mask)
    longformer("longformer")
    alibi("alibi_bloom", 8, 2, lambda heads, n: build_alibi_tensor(torch.ones(1, n), heads, torch.float64))
    alibi("alibi_mpt", 6, 3, build_mpt_alibi_tensor)
    xpos("xpos_half_split", "half-split")
    xpos("xpos_interleaved", "interleaved")
    ceiling("rotary")
    ceiling("strict")

    (DATA / "VERSIONS.txt").write_text(
        f"Written by tests/golden/make_patterns_golden.py with Python {platform.python_version()}, "
        f"transformers {transformers.__version__}, torch {torch.__version__}, numpy {np.__version__}.\n")


if __name__ == "__main__":
    main()
