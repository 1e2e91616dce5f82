"""The three steps one after another in PyTorch, with its BLAS: product, softmax, product."""

import numpy as np
import torch

from calls.peer import Call, available_bytes, heads_first, require_memory
from calls.pytorch import Peer as PyTorch
from calls.pytorch import to_numpy, to_torch
from points import Point


class Peer(PyTorch):
    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        one_head = point.score_bytes / point.batch / point.heads * (2 if point.dtype == "float64" else 1)
        require_memory(3 * one_head)
        queries, keys, values = (to_torch(heads_first(x)) for x in (q, k, v))
        scale = point.dim**-0.5
        mask = None
        if point.causal:
            mask = torch.full((point.length, point.length), -torch.inf, dtype=queries.dtype).triu_(1)

        def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            scores = torch.matmul(q * scale, k.transpose(-1, -2))
            if mask is not None:
                scores += mask
            return torch.matmul(torch.softmax(scores, dim=-1), v)

        def at_once() -> torch.Tensor:
            with torch.inference_mode():
                # Queries that share a key head are more rows of the same product.
                shape = (point.batch, point.key_heads, point.group, point.length, point.dim)
                out = attention(queries.view(shape), keys[:, :, None], values[:, :, None])
                return out.view(queries.shape)

        def head_by_head() -> torch.Tensor:
            with torch.inference_mode():
                out = torch.empty_like(queries)
                for b in range(point.batch):
                    for h in range(point.heads):
                        out[b, h] = attention(queries[b, h], keys[b, h // point.group], values[b, h // point.group])
                return out

        calls = [Call("head by head", head_by_head, to_numpy)]
        if 3 * one_head * point.heads * point.batch < 0.5 * available_bytes():
            calls.insert(0, Call("all heads at once", at_once, to_numpy))
        return calls
