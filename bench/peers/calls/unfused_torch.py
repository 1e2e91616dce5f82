"""The three steps one after another in PyTorch, with its BLAS: product, softmax, product.

All memory is there beforehand, and the softmax stays in place: to have fresh memory for the scores at
every call takes as long again.
"""

from collections.abc import Callable

import numpy as np
import torch

from calls.peer import Call, available_bytes, heads_first, require_memory
from calls.pytorch import Peer as PyTorch
from calls.pytorch import to_numpy, to_torch
from points import Point


class Peer(PyTorch):
    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        # Queries that share a key head are more rows of the same product.
        pairs, rows = point.batch * point.key_heads, point.group * point.length
        tensors = [to_torch(heads_first(x)).view(pairs, -1, point.dim) for x in (q, k, v)]
        own = tensors[0].dtype
        one_head = tensors[0].itemsize * point.length**2
        require_memory(3 * one_head)

        shapes = {"head by head": (1, point.length)}
        if one_head * point.heads * point.batch < 0.25 * available_bytes():
            shapes["all heads at once"] = (pairs, rows)
        # Where the BLAS has no such products, they go faster by way of float.
        types = {own} if own.itemsize > 2 else {own, torch.float32}
        return [
            Call(
                way if kind == own else f"{way}, converted to float",
                self.three_steps(point, tensors, *shape, kind),
                lambda x: to_numpy(x.view(point.batch, point.heads, point.length, point.dim)),
            )
            for kind in types
            for way, shape in shapes.items()
        ]

    def three_steps(
        self, point: Point, tensors: list[torch.Tensor], pairs: int, rows: int, kind: torch.dtype
    ) -> Callable[[], torch.Tensor]:
        """For so many pairs of a key head and its queries at once, and so many of their rows."""
        same = tensors[0].dtype == kind
        q = torch.empty_like(tensors[0], dtype=kind)
        k, v = tensors[1:] if same else (torch.empty_like(x, dtype=kind) for x in tensors[1:])
        out = torch.empty_like(tensors[0])
        scores = torch.empty(pairs, rows, point.length, dtype=kind)
        by_head = scores.view(-1, point.length, point.length)
        mask = None
        if point.causal:
            mask = torch.full((point.length, point.length), -torch.inf, dtype=kind).triu_(1)

        def run() -> torch.Tensor:
            q.copy_(tensors[0]).mul_(point.dim**-0.5)
            if not same:
                k.copy_(tensors[1])
                v.copy_(tensors[2])
            for i in range(0, len(q), pairs):
                some = slice(i, i + pairs)
                for j in range(0, q.shape[1], rows):
                    part = (some, slice(j, j + rows))
                    torch.bmm(q[part], k[some].transpose(1, 2), out=scores)
                    if mask is not None:
                        by_head.add_(mask)
                    torch.softmax(scores, dim=-1, out=scores)
                    out[part] = torch.bmm(scores, v[some])
            return out

        return run
