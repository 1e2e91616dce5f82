#!/usr/bin/env python3
"""Writes the golden files of tests/golden/gradients: gradients by PyTorch's autograd, in float64.

Operands, results and log-sum-exps are those of tests/golden/data (make_golden.py), whose formulas are
used again; dout is random, rounded to float32. Every case is a group of files <case>.<tensor>.npy with dout, dq, dk
and dv, and dsinks or dbias where there are such; see golden_test.cpp. Needs numpy and torch; the tests
need neither.
"""
import pathlib
import platform

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from make_golden import DATA, causal, coca_scores, dot_scores, finish, heads_first, rand, rotate

GRADIENTS = pathlib.Path(__file__).parent / "gradients"


def operand(case, tensor):
    return torch.from_numpy(np.load(DATA / f"{case}.{tensor}.npy")).double().requires_grad_()


def gradients(case, attend, *more):
    """Of attend(q, k, v, *more)."""
    names = ("q", "k", "v", *more)
    operands = [operand(case, name) for name in names]
    out = attend(*operands)
    assert np.allclose(out.detach().numpy(), np.load(DATA / f"{case}.out.npy"), rtol=0, atol=1e-12)
    dout = rand(*out.shape)
    out.backward(dout)
    np.save(GRADIENTS / f"{case}.dout.npy", dout.numpy().astype(np.float32))
    for name, x in zip(names, operands):
        np.save(GRADIENTS / f"{case}.d{name}.npy", x.grad.numpy())


def main():
    GRADIENTS.mkdir(exist_ok=True)
    for old in GRADIENTS.glob("*.npy"):
        old.unlink()
    torch.manual_seed(20240815)

    def sdpa(q, k, v, **options):
        return heads_first(scaled_dot_product_attention(*map(heads_first, (q, k, v)), **options))

    gradients("sdpa_causal", lambda q, k, v: sdpa(q, k, v, is_causal=True))
    gradients("sdpa_bias", lambda q, k, v, bias: sdpa(q, k, v, attn_mask=bias), "bias")

    def rope_partial(q, k, v):
        turned = [rotate(x, torch.arange(70), "half-split", 8) for x in (q, k)]
        return finish(dot_scores(*turned), v, causal(70, 70))[0]

    gradients("rope_partial", rope_partial)
    gradients("cap_and_sinks",
              lambda q, k, v, sinks: finish(dot_scores(q, k), v, causal(33, 33), cap=1.5, sinks=sinks)[0],
              "sinks")
    for case, form, layout in (("coca_constrained", "constrained", "half-split"),
                               ("coca_strict_interleaved", "strict", "interleaved"),
                               ("coca_slack_interleaved", "slack", "interleaved")):
        def attend(q, x, v, form=form, layout=layout):
            length = q.shape[1]
            return finish(coca_scores(q, x, torch.arange(length), form, layout), v, causal(length, length))[0]

        gradients(case, attend)

    (GRADIENTS / "VERSIONS.txt").write_text(
        f"Written by tests/golden/make_gradients_golden.py with Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}.\n")


if __name__ == "__main__":
    main()
