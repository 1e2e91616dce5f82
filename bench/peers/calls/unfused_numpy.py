"""The three steps one after another in NumPy, with its BLAS, in place and in memory that is there beforehand."""

import numpy as np

from calls.peer import Call, Unsupported, heads_first, require_memory
from points import Point


class Peer:
    def __init__(self, threads: int) -> None:
        # The driver has set OPENBLAS_NUM_THREADS; softmax is single-threaded.
        self.threads = threads

    def about(self) -> dict[str, str]:
        build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return {
            "version": np.__version__,
            "build": f"{build['name']} {build['version']}, {build.get('openblas configuration', '')}",
            "threads": f"OPENBLAS_NUM_THREADS={self.threads}, for the products alone",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        if point.dtype in ("float16", "bfloat16"):
            raise Unsupported(f"NumPy's BLAS has no {point.dtype}")
        require_memory(2 * point.score_bytes / point.batch / point.heads)
        queries, keys, values = (heads_first(x) for x in (q, k, v))
        scale = queries.dtype.type(point.dim**-0.5)
        mask = None
        if point.causal:
            mask = np.triu(np.full((point.length, point.length), -np.inf, dtype=queries.dtype), 1)

        out = np.empty_like(queries)
        scores = np.empty((point.length, point.length), queries.dtype)

        def run() -> np.ndarray:
            for b in range(point.batch):
                for h in range(point.heads):
                    np.matmul(queries[b, h] * scale, keys[b, h // point.group].T, out=scores)
                    if mask is not None:
                        np.add(scores, mask, out=scores)
                    np.subtract(scores, scores.max(axis=1, keepdims=True), out=scores)
                    np.exp(scores, out=scores)
                    np.matmul(scores, values[b, h // point.group], out=out[b, h])
                    out[b, h] /= scores.sum(axis=1, keepdims=True)
            return out

        return [Call("head by head, in place", run, lambda result: result.transpose(0, 2, 1, 3))]
