"""jax.nn.dot_product_attention, compiled by XLA for the CPU.

XLA has as many threads as the process may use cores: the process is held to that many.
"""

import os

import numpy as np

from calls.peer import Call, require_memory
from points import Point


def hold_to_cores(count: int) -> list[int]:
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    return cores


class Peer:
    def __init__(self, threads: int) -> None:
        self.cores = hold_to_cores(threads)
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax  # only now: it counts its cores when it is loaded

        jax.config.update("jax_enable_x64", True)
        self.jax = jax

    def about(self) -> dict[str, str]:
        import jaxlib

        return {
            "version": f"jax {self.jax.__version__}, jaxlib {jaxlib.__version__}",
            "threads": f"held to cores {self.cores} before it is loaded",
            "flags": os.environ.get("XLA_FLAGS", ""),
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        tensors = [self.jax.numpy.asarray(x) for x in (q, k, v)]
        function = self.jax.jit(lambda q, k, v: self.jax.nn.dot_product_attention(q, k, v, is_causal=point.causal))
        compiled = function.lower(*tensors).compile()
        require_memory(compiled.memory_analysis().temp_size_in_bytes)
        return [Call("[B, N, H, D]", lambda: compiled(*tensors).block_until_ready(), np.asarray)]
