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

    def calls(
        self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray, dout: np.ndarray | None = None
    ) -> list[Call]:
        if dout is not None:
            return self.gradient_calls(point, q, k, v, dout)
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

    def gradient_calls(
        self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray, dout: np.ndarray
    ) -> list[Call]:
        with torch.inference_mode(False):
            heads = [to_torch(heads_first(x)) for x in (q, k, v, dout)]
            in_rows = [to_torch(x.copy()).transpose(1, 2) for x in (q, k, v, dout)]
        calls = []
        for way, tensors in (("[B, H, N, D]", heads), ("[B, N, H, D] seen as [B, H, N, D]", in_rows)):
            for repeat in (False, True)[: 1 + (point.group > 1)]:
                calls.append(self.gradient_call(point, way, repeat, *tensors))
        return calls

    def gradient_call(
        self, point: Point, way: str, repeat: bool, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
        dout: torch.Tensor,
    ) -> Call:  # fmt: skip
        """By autograd, over a graph that is kept; of a step, over a new one."""
        operands = [x.detach().requires_grad_() for x in (q, k, v)]

        def forward() -> torch.Tensor:
            keys, values = (x.repeat_interleave(point.group, dim=1) if repeat else x for x in operands[1:])
            grouped = keys.shape[1] != q.shape[1]
            return F.scaled_dot_product_attention(
                operands[0], keys, values, is_causal=point.causal, enable_gqa=grouped
            )

        with torch.inference_mode(False):
            kept = forward()

        def run() -> tuple[torch.Tensor, ...]:
            with torch.inference_mode(False):
                step = point.task == "step"
                return torch.autograd.grad(forward() if step else kept, operands, dout, retain_graph=not step)

        def result(gradients: tuple[torch.Tensor, ...]) -> np.ndarray:
            return np.concatenate([to_numpy(x) for x in gradients], axis=2)

        kernel = type(kept.grad_fn).__name__
        return Call(f"{way}{', key heads repeated' if repeat else ''}, {kernel}", run, result)

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
