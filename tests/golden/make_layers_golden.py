#!/usr/bin/env python3
"""Writes tests/golden/layers: tiny random checkpoints, and what the Hugging Face library makes of them.

Needs torch, transformers and safetensors; the tests need none of them. Every case is a folder with
config.json and model.safetensors as that library saves them, of attention weights alone; hidden.npy,
states [sequences, tokens, hidden]; out.npy, what the attention layer of the library makes of them; and
coca.npy, what the CoCA variant of it does. Both are computed in float64 from the numbers in the files,
but for what the library does in float32 whatever it is given: rotary angles, norms and the softmax.

The CoCA variant is written after the paper (arXiv 2309.08646, equations 6 and 10) and the code published
with it: k_proj taken for t_proj, t the relu of the mean of both halves, scores by einsum over q, the
rotated t and the rotated q. Positions turn pairs as complex numbers, in float64.
"""
import math
import pathlib
import platform

import numpy as np
import safetensors
import safetensors.torch
import torch
import transformers
from transformers import LlamaConfig, Qwen2Config, Qwen3Config
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, Qwen2RotaryEmbedding
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RotaryEmbedding

DATA = pathlib.Path(__file__).parent / "layers"
SEQUENCES, TOKENS = 2, 24

SIZES = dict(hidden_size=32, intermediate_size=64, vocab_size=64, num_attention_heads=4,
             num_key_value_heads=2, num_hidden_layers=1, max_position_embeddings=64)
# Small bases and original lengths, so that a scaling shows within few tokens, and an epsilon that does.
CASES = {
    "llama": (LlamaConfig(**SIZES), LlamaAttention, LlamaRotaryEmbedding, 0, torch.float32),
    "llama3": (LlamaConfig(**{**SIZES, "num_hidden_layers": 2, "head_dim": 12}, attention_bias=True,
                           rope_parameters=dict(rope_type="llama3", rope_theta=100.0, factor=8.0,
                                                low_freq_factor=1.0, high_freq_factor=4.0,
                                                original_max_position_embeddings=32)),
               LlamaAttention, LlamaRotaryEmbedding, 1, torch.bfloat16),
    "qwen2": (Qwen2Config(**{**SIZES, "num_key_value_heads": 1},
                          rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
              Qwen2Attention, Qwen2RotaryEmbedding, 0, torch.float16),
    "qwen3": (Qwen3Config(**SIZES, head_dim=16, rms_norm_eps=0.01,
                          rope_parameters=dict(rope_type="yarn", rope_theta=100.0, factor=4.0,
                                               original_max_position_embeddings=16)),
              Qwen3Attention, Qwen3RotaryEmbedding, 0, torch.float64),
}


def make_weights(attention, dtype):
    """Random weights, of queries and keys small enough that the softmax passes on no great errors."""
    state = {}
    for name, weight in attention.state_dict().items():
        x = torch.randn(weight.shape, dtype=torch.float64)
        if name.endswith("norm.weight"):
            x = 0.5 + 0.15 * x
        elif name.endswith("bias"):
            x = 0.25 * x
        else:
            x = x * weight.shape[1] ** -0.5 * (0.5 if name[0] in "qk" else 1.0)
        state[name] = x.to(dtype)
    return state


def causal_mask():
    hidden = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    return torch.zeros(TOKENS, TOKENS, dtype=torch.float64).masked_fill(hidden, -math.inf)


def coca(attention, rotary, states):
    """The same layer with k_proj for t_proj, in slack form."""
    dim = attention.head_dim

    def heads(projection, norm=None):
        x = projection(states).unflatten(-1, (-1, dim))
        if norm is None:
            return x
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + norm.variance_epsilon) * norm.weight

    def turned(x):
        angle = torch.outer(torch.arange(TOKENS, dtype=torch.float64), rotary.inv_freq.double())
        turn = torch.polar(torch.full_like(angle, rotary.attention_scaling), angle)[:, None]
        pairs = torch.complex(x[..., : dim // 2].contiguous(), x[..., dim // 2:].contiguous()) * turn
        return torch.cat([pairs.real, pairs.imag], dim=-1)

    q = heads(attention.q_proj, getattr(attention, "q_norm", None))
    x = heads(attention.k_proj, getattr(attention, "k_norm", None))
    v = heads(attention.v_proj)
    t = torch.relu((x[..., : dim // 2] + x[..., dim // 2:]) / 2)
    t = turned(torch.cat([t, t], dim=-1))
    group = q.shape[2] // t.shape[2]
    t, v = t.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)
    scores = torch.einsum("bmhd,bnhd,bmhd->bhmn", q, t, turned(q)) / math.sqrt(dim)
    weights = torch.softmax(scores + causal_mask(), dim=-1)
    return attention.o_proj(torch.einsum("bhmn,bnhd->bmhd", weights, v).flatten(-2))


def make_case(name, config, attention_class, rotary_class, layer, dtype):
    folder = DATA / name
    folder.mkdir(parents=True, exist_ok=True)
    config.dtype = dtype
    config._attn_implementation = "eager"
    config.save_pretrained(folder)

    attention = attention_class(config, layer_idx=layer).double().eval()
    weights = make_weights(attention, dtype)
    attention.load_state_dict({key: value.double() for key, value in weights.items()})
    safetensors.torch.save_file(
        {f"model.layers.{layer}.self_attn.{key}": value for key, value in weights.items()},
        folder / "model.safetensors", metadata={"format": "pt"})

    states = torch.randn(SEQUENCES, TOKENS, config.hidden_size, dtype=torch.float32).double()
    rotary = rotary_class(config)
    positions = torch.arange(TOKENS).expand(SEQUENCES, -1)
    with torch.no_grad():
        out, _ = attention(hidden_states=states, position_embeddings=rotary(states, positions),
                           attention_mask=causal_mask()[None, None])
        files = dict(hidden=states, out=out, coca=coca(attention, rotary, states))
    for key, x in files.items():
        np.save(folder / f"{key}.npy", x.numpy().astype(np.float32))


def main():
    torch.manual_seed(20240812)
    for name, case in CASES.items():
        make_case(name, *case)
    (DATA / "VERSIONS.txt").write_text(
        f"Written by tests/golden/make_layers_golden.py with Python {platform.python_version()}, "
        f"transformers {transformers.__version__}, torch {torch.__version__}, "
        f"safetensors {safetensors.__version__}, numpy {np.__version__}.\n")


if __name__ == "__main__":
    main()
