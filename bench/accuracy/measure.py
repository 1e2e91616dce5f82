#!/usr/bin/env python3
"""The errors of this library and of PyTorch against double, on the same random inputs, at one length.

    build/accuracy-venv/bin/python bench/accuracy/measure.py LIBRARY LENGTH OUT

LIBRARY is libcoca_accuracy.so; OUT becomes a JSON file.
"""

import ctypes
import json
import pathlib
import sys

import exact
import pytorch
import torch
from calls.coca import CocaCall, check, number, pointer, text
from machine import context
from tqdm import tqdm

SCHEMES = ["dot", "rotary", "strict_t", "strict_x", "slack_t", "slack_x", "constrained_t", "constrained_x"]
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The largest errors of a few seeds say little. The longest inputs are the same few, for time's sake.
SEEDS, LONG_SEEDS, LONG = 16, 4, 1 << 15
HEADS, DIM, QUERIES = 2, 64, 128
# Of queries and keys: PyTorch makes keys of strict CoCA for each query.
MOST_PAIRS = 1 << 21
SOURCE = pathlib.Path(__file__).parents[2]


def inputs(scheme: str, dtype: torch.dtype, length: int, seed: int) -> list[torch.Tensor]:
    """q, k and v of normal numbers: [heads, tokens, width]. t is what relu leaves of such."""
    generator = torch.Generator().manual_seed(seed)
    width = DIM // 2 if scheme.endswith("_t") else DIM
    q, k, v = (
        torch.randn(HEADS, tokens, columns, generator=generator)
        for tokens, columns in ((min(QUERIES, length, MOST_PAIRS // length), DIM), (length, width), (length, DIM))
    )
    if scheme.endswith("_t"):
        k = torch.relu(k)
    return [x.to(dtype) for x in (q, k, v)]


class Library:
    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.library.coca_attention.restype = text
        self.library.coca_attention.argtypes = [pointer]
        self.library.coca_target.restype = text

    def target(self) -> str:
        return self.library.coca_target().decode()

    def attention(self, scheme: str, name: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Heads as a batch, which lies in memory as they do."""
        out = torch.zeros_like(q)
        addresses = [x.data_ptr() for x in (out, q, k, v)]
        sizes = [HEADS, q.shape[1], k.shape[1], 1, 1, DIM, DIM]
        call = CocaCall(scheme.encode(), name.encode(), *addresses, *map(number, (*sizes, False, 1)))
        check(self.library.coca_attention(ctypes.addressof(call)))
        return out


def errors(out: torch.Tensor, expected: torch.Tensor) -> list[list[float]]:
    """Of each head, over the largest number expected: root mean square, and the largest."""
    assert torch.isfinite(out).all()
    differences = (out.double() - expected).flatten(1)
    size = expected.flatten(1).abs().amax(dim=1)
    return torch.stack([differences.square().mean(dim=1).sqrt(), differences.abs().amax(dim=1)], dim=1).div(
        size[:, None]
    ).tolist()


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    library, length, out = Library(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    rows = []
    seeds = range(1, 1 + (SEEDS if length < LONG else LONG_SEEDS))
    points = [(scheme, name, seed) for scheme in SCHEMES for name in TYPES for seed in seeds]
    for scheme, name, seed in tqdm(points, desc=f"length {length}", dynamic_ncols=True):
        q, k, v = inputs(scheme, TYPES[name], length, seed)
        expected = torch.stack([exact.attention(scheme, *head) for head in zip(q, k, v)])
        ours = errors(library.attention(scheme, name, q, k, v), expected)
        theirs = errors(pytorch.attention(scheme, q, k, v), expected)
        rows += [
            {"scheme": scheme, "type": name, "length": length, "seed": seed, "head": head, "coca": a, "pytorch": b}
            for head, (a, b) in enumerate(zip(ours, theirs))
        ]
    about = {"target": library.target(), "pytorch": torch.__version__, "heads": HEADS, "dim": DIM, "queries": QUERIES}
    out.write_text(json.dumps({**context(SOURCE), **about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
