"""PyTorch's scaled_dot_product_attention. Which kernel it takes by itself is part of each way's name."""

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

from calls.peer import Call, heads_first, repeat_heads
from points import Point


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
        ways = {
            "[B, H, N, D]": [to_torch(heads_first(x)) for x in (q, k, v)],
            "[B, N, H, D] seen as [B, H, N, D]": [to_torch(x).transpose(1, 2) for x in (q, k, v)],
        }
        if point.group > 1:
            repeated = (q, repeat_heads(k, point.group), repeat_heads(v, point.group))
            ways["[B, H, N, D], key heads repeated beforehand"] = [to_torch(heads_first(x)) for x in repeated]
        return [self.call(point, way, *tensors) for way, tensors in ways.items()]

    def call(self, point: Point, way: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Call:
        flags = {"is_causal": point.causal, "enable_gqa": q.shape[1] != k.shape[1]}
        kernel = SDPBackend(torch._fused_sdp_choice(q, k, v, **flags)).name

        def run() -> torch.Tensor:
            return F.scaled_dot_product_attention(q, k, v, **flags)

        return Call(f"{way}, {kernel}", run, to_numpy)
