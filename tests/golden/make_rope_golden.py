#!/usr/bin/env python3
"""Writes tests/golden/rope: what the Hugging Face library makes of rope configurations.

Needs torch and transformers; the tests need neither. Every case is <case>.json, a config.json with
what matters here, and <case>.npy: for some lengths of the sequence, a row of the length, the
attention factor and all frequencies, which the library computes in float32.

CLEX is not in that library: clex.npz.* are made by a transcript of its equations (arXiv 2310.16450,
section 3.3) in float64, integrated by scipy to far below what the Runge-Kutta steps are off by.

<case>.ids.npy, .cos.npy and .sin.npy are positions of three axes [axes, tokens], and what the rotary
embedding of the case's model makes of them, [tokens, head_dim] in float32.
"""
import json
import pathlib
import platform
import types

import numpy as np
import scipy
import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRotaryEmbedding
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

DATA = pathlib.Path(__file__).parent / "rope"
LENGTHS = [1, 100, 4096, 4097, 8192, 20000, 131072]

LLAMA = dict(hidden_size=512, num_attention_heads=4, head_dim=128, max_position_embeddings=4096)
ramp = np.linspace(1.0, 30.0, 48).tolist()
CASES = {
    "default": dict(LLAMA, rope_theta=10000.0),
    "large_base": dict(LLAMA, rope_theta=1000000.0),
    "linear": dict(LLAMA, rope_theta=10000.0, rope_scaling=dict(rope_type="linear", factor=4.0)),
    "dynamic": dict(LLAMA, rope_theta=10000.0, rope_scaling=dict(rope_type="dynamic", factor=2.0)),
    # NTK-aware scaling, of a factor that is how often the length at hand holds the trained one.
    "ntk": dict(LLAMA, rope_theta=10000.0, rope_scaling=dict(rope_type="dynamic", factor=1.0)),
    "yarn": dict(LLAMA, rope_theta=10000.0, rope_scaling=dict(
        rope_type="yarn", factor=8.0, original_max_position_embeddings=4096)),
    # As Qwen's long-context configurations have it, with the older name of the type.
    "yarn_qwen": dict(LLAMA, max_position_embeddings=131072, rope_theta=1000000.0, rope_scaling=dict(
        type="yarn", factor=4.0, original_max_position_embeddings=32768)),
    "yarn_all": dict(LLAMA, rope_theta=10000.0, rope_scaling=dict(
        rope_type="yarn", factor=40.0, original_max_position_embeddings=4096, beta_fast=24.0,
        beta_slow=2.0, mscale=0.707, mscale_all_dim=1.0, truncate=False)),
    "yarn_attention_factor": dict(LLAMA, rope_theta=150000.0, rope_scaling=dict(
        rope_type="yarn", factor=32.0, original_max_position_embeddings=4096, attention_factor=1.25)),
    "llama3": dict(LLAMA, max_position_embeddings=131072, rope_theta=500000.0, rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8192)),
    "longrope": dict(LLAMA, head_dim=96, max_position_embeddings=131072, rope_theta=10000.0,
                     original_max_position_embeddings=4096, rope_scaling=dict(
        rope_type="longrope", short_factor=[1.0 + 0.01 * j for j in range(48)], long_factor=ramp)),
    "partial": dict(LLAMA, rope_theta=10000.0, partial_rotary_factor=0.5, rope_scaling=dict(
        rope_type="yarn", factor=4.0, original_max_position_embeddings=4096)),
    "rope_parameters": dict(LLAMA, rope_parameters=dict(
        rope_type="linear", rope_theta=50000.0, factor=2.0)),
}


def default_frequencies(config):
    parameters = config.rope_parameters
    dim = int(config.head_dim * parameters.get("partial_rotary_factor", 1.0))
    exponents = torch.arange(0, dim, 2, dtype=torch.int64).float() / dim
    return 1.0 / (parameters["rope_theta"] ** exponents), 1.0


def frequencies(config, length):
    kind = config.rope_parameters["rope_type"]
    if kind == "default":
        return default_frequencies(config)
    return ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=length)


def clex(dim, width, base, step, times, rng):
    """W_up, W_down, and the frequencies at some times."""
    up = rng.normal(size=(dim // 2, width)) / dim
    down = rng.normal(size=(width, dim // 2)) / width
    two_j = np.arange(0, dim, 2)

    def slope(t, z):
        alpha = 2.0 * t - 1.0
        theta = (base * alpha ** (dim / (dim - 2.0))) ** (-two_j / dim)
        hidden = (z + np.log(theta)) @ up
        hidden = hidden / (1.0 + np.exp(-hidden))
        d_theta = -2.0 * two_j / (dim - 2.0) * theta / alpha
        return hidden @ down + d_theta / theta

    start = -two_j / dim * np.log(base)
    solution = scipy.integrate.solve_ivp(slope, (1.0, max(times)), start, t_eval=times, rtol=1e-12,
                                         atol=1e-14, method="DOP853")
    return up, down, np.exp(solution.y.T)


def image_positions():
    """Five tokens of text, an image of 4 x 6, and seven more of text, as Qwen2-VL counts them."""
    text = [[n, n, n] for n in range(5)]
    image = [[5, 5 + row, 5 + column] for row in range(4) for column in range(6)]
    start = 1 + max(max(place) for place in image)
    return np.array(text + image + [[start + n] * 3 for n in range(7)]).T


def multi_rope(case, embedding, sections):
    parameters = dict(rope_type="default", rope_theta=1000000.0, mrope_section=sections)
    config = types.SimpleNamespace(
        max_position_embeddings=32768, hidden_size=512, num_attention_heads=4, head_dim=128,
        rope_parameters=parameters)
    ids = image_positions()
    cos, sin = embedding(config)(torch.zeros(1), torch.tensor(ids)[:, None, :])
    np.save(DATA / f"{case}.ids.npy", ids.astype(np.float64))
    np.save(DATA / f"{case}.cos.npy", cos[0].numpy())
    np.save(DATA / f"{case}.sin.npy", sin[0].numpy())


def main():
    DATA.mkdir(exist_ok=True)
    for old in DATA.glob("*"):
        old.unlink()
    for case, values in CASES.items():
        (DATA / f"{case}.json").write_text(json.dumps(values, indent=1) + "\n")
        config = LlamaConfig(**json.loads(json.dumps(values)))
        config.standardize_rope_params()
        rows = []
        for length in LENGTHS:
            inv_freq, attention_factor = frequencies(config, length)
            rows.append([length, attention_factor, *inv_freq.tolist()])
        np.save(DATA / f"{case}.npy", np.array(rows))

    multi_rope("qwen2_vl", Qwen2VLRotaryEmbedding, [16, 24, 24])
    multi_rope("qwen3_vl", Qwen3VLTextRotaryEmbedding, [24, 20, 20])

    times = [1.0, 2.0, 3.0, 8.0]
    up, down, solved = clex(32, 64, 10000.0, 0.1, times, np.random.default_rng(20231025))
    np.save(DATA / "clex.up.npy", up)
    np.save(DATA / "clex.down.npy", down)
    np.save(DATA / "clex.frequencies.npy", np.column_stack([times, solved]))

    (DATA / "VERSIONS.txt").write_text(
        f"Written by tests/golden/make_rope_golden.py with Python {platform.python_version()}, "
        f"transformers {transformers.__version__}, torch {torch.__version__}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}.\n")


if __name__ == "__main__":
    main()
