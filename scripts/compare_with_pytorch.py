#!/usr/bin/env python3
"""Holds the attend program against PyTorch: random files from NumPy, both programs, the difference.

    scripts/compare_with_pytorch.py build/release/examples/attend

Needs numpy and torch. Prints the largest difference for each set of flags and exits with 1 if one
is above what rounding explains.
"""
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

BATCH, QUERIES, KEYS, HEADS, KEY_HEADS, DIM, VALUE_DIM = 2, 130, 200, 4, 2, 32, 24


def rotate_half_split(x, positions):
    half = x.shape[-1] // 2
    theta = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions.double()[None, :, None, None] * theta
    turn = torch.polar(torch.ones_like(angle), angle)
    pairs = torch.complex(x[..., :half].double().contiguous(), x[..., half:].double().contiguous()) * turn
    return torch.cat([pairs.real, pairs.imag], dim=-1)


def expected(scheme, q, k, v, mask):
    """Attention in float64. q [B, M, H, D]; mask [M, N], True where visible."""
    q, k, v = q.double(), k.double(), v.double()
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)
    key_positions = torch.arange(k.shape[1])
    query_positions = torch.arange(k.shape[1] - q.shape[1], k.shape[1])
    if scheme == "rotary":
        q, k = rotate_half_split(q, query_positions), rotate_half_split(k, key_positions)
    elif scheme.startswith("coca"):
        half = q.shape[-1] // 2
        t = torch.relu((k[..., :half] + k[..., half:]) / 2)
        t = torch.cat([t, t], dim=-1)
        if scheme == "coca-constrained":
            mean = (q[..., :half] + q[..., half:]) / 2
            q = torch.cat([mean, mean], dim=-1)
        turned = rotate_half_split(q, query_positions)
        if scheme == "coca-strict":
            keys = torch.einsum("bmhd,bnhd->bmnhd", q, t)
            shape = keys.shape
            keys = rotate_half_split(keys.reshape(-1, shape[2], shape[3], shape[4]), key_positions).reshape(shape)
            scores = torch.einsum("bmhd,bmnhd->bhmn", turned, keys) / math.sqrt(q.shape[-1])
            weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
            return torch.einsum("bhmn,bnhd->bmhd", weights, v)
        q, k = q * turned, rotate_half_split(t, key_positions)
    out = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return out.transpose(1, 2)


def main():
    attend = str(pathlib.Path(sys.argv[1]).resolve())
    rng = np.random.default_rng(7)
    distance = (torch.arange(KEYS - QUERIES, KEYS)[:, None] - torch.arange(KEYS)[None, :])
    masks = {
        "": torch.ones(QUERIES, KEYS, dtype=torch.bool),
        "--mask causal": distance >= 0,
        "--mask causal,window --window-left 50": (distance >= 0) & (distance <= 50),
        "--mask prefix-lm --prefix 90": (distance >= 0) | (torch.arange(KEYS)[None, :] < 90),
        "--mask causal --causal-offset 3": distance >= -3,
    }
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for dtype, bound in [("float64", 1e-13), ("float32", 3e-5), ("float16", 2e-3)]:
            files = {}
            for name, heads, length, width in [("q", HEADS, QUERIES, DIM), ("k", KEY_HEADS, KEYS, DIM),
                                               ("v", KEY_HEADS, KEYS, VALUE_DIM)]:
                files[name] = rng.standard_normal((BATCH, length, heads, width)).astype(dtype)
                if name == "k":  # Fortran order must make no difference
                    files[name] = np.asfortranarray(files[name])
                np.save(f"{folder}/{name}.npy", files[name])
            q, k, v = (torch.from_numpy(np.ascontiguousarray(files[n])) for n in "qkv")
            for scheme in ["dot", "rotary", "coca-strict", "coca-slack", "coca-constrained"]:
                for flags, mask in masks.items():
                    command = [attend, "--scheme", scheme, "--key-form", "x", *flags.split(), "--threads", "2",
                               "q.npy", "k.npy", "v.npy", "-o", "out.npy"]
                    subprocess.run(command, cwd=folder, check=True)
                    out = np.load(f"{folder}/out.npy")
                    assert out.dtype == np.dtype(dtype) and out.shape == (BATCH, QUERIES, HEADS, VALUE_DIM)
                    difference = np.abs(out.astype(np.float64) - expected(scheme, q, k, v, mask).numpy()).max()
                    verdict = "" if difference <= bound else "   TOO LARGE"
                    failures += difference > bound
                    print(f"{dtype:8} {scheme:17} {flags or 'full':38} {difference:.1e}{verdict}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
