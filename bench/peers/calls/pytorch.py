"""PyTorch's scaled_dot_product_attention. Which kernel it takes by itself is part of each way's name."""

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

from calls.peer import Call, heads_first, repeat_heads
from inputs import rotate
from points import Point

REPEATED_BYTES = 2**30


def to_torch(x: np.ndarray) -> torch.Tensor:
    """PyTorch does not know NumPy's name for bfloat16."""
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def to_numpy(x: torch.Tensor) -> np.ndarray:
    """[B, H, N, D] to [B, N, H, D]."""
    return x.transpose(1, 2).to(torch.float64).numpy()


class Peer:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        # For the whole process: to enter it at every call would take part of a short one's time.
        self.inference = torch.inference_mode()
        self.inference.__enter__()

    def about(self) -> dict[str, str]:
        return {
            "version": torch.__version__,
            "build": torch.__config__.show(),
            "parallel": torch.__config__.parallel_info(),
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "threads": f"torch.set_num_threads({torch.get_num_threads()})",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        if point.decode:
            return self.decode_calls(point, q, k, v)
        ways = {
            "[B, H, N, D]": [to_torch(heads_first(x)) for x in (q, k, v)],
            "[B, N, H, D] seen as [B, H, N, D]": [to_torch(x).transpose(1, 2) for x in (q, k, v)],
        }
        if point.group > 1:
            repeated = (q, repeat_heads(k, point.group), repeat_heads(v, point.group))
            ways["[B, H, N, D], key heads repeated beforehand"] = [to_torch(heads_first(x)) for x in repeated]
        return [self.call(point, way, *tensors) for way, tensors in ways.items()]

    def decode_calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        """Keys are rotated beforehand, and so is the query. One query sees all keys: no mask."""
        rotate(q, point.length - 1)
        rotate(k, point.length - 1)
        query = to_torch(heads_first(q))
        # The queries of a group as several queries of their key head: its keys are read once.
        grouped = query.view(point.batch, point.key_heads, point.group, point.dim)
        # Copies of the heads are worth a try where they are small.
        small = point.group * k.nbytes < REPEATED_BYTES
        repeated = [to_torch(heads_first(repeat_heads(x, point.group))) for x in (k, v)] if small else None
        in_rows = [to_torch(x).transpose(1, 2) for x in (k, v)]
        heads = [x.contiguous() for x in in_rows]
        calls = []
        for layout, cache in (("[B, H, N, D]", heads), ("[B, N, H, D] seen as [B, H, N, D]", in_rows)):
            # The fastest as a rule comes first: of long calls there is time for one way only.
            calls.append(self.call(point, f"{layout}, groups as queries", grouped, *cache))
            calls.append(self.call(point, layout, query, *cache))
        if repeated:
            calls.append(self.call(point, "[B, H, N, D], key heads repeated beforehand", query, *repeated))
        return calls

    def call(self, point: Point, way: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Call:
        flags = {"is_causal": point.causal and not point.decode, "enable_gqa": q.shape[1] != k.shape[1]}
        kernel = SDPBackend(torch._fused_sdp_choice(q, k, v, **flags)).name

        def run() -> torch.Tensor:
            return F.scaled_dot_product_attention(q, k, v, **flags)

        def result(x: torch.Tensor) -> np.ndarray:
            return to_numpy(x.reshape(point.batch, point.heads, point.queries, point.dim))

        return Call(f"{way}, {kernel}", run, result)
