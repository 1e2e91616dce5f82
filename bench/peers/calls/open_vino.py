"""OpenVINO's ScaledDotProductAttention on the CPU: a compiled model of this one operation.

It has no grouped heads: key heads are repeated beforehand, or broadcast where there is one.
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from calls.peer import Call, Unsupported, heads_first, repeat_heads
from points import Point

TYPES = {"float32": ov.Type.f32, "float64": ov.Type.f64, "float16": ov.Type.f16, "bfloat16": ov.Type.bf16}


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.core = ov.Core()

    def config(self, dtype: str) -> dict[str, str]:
        return {
            "INFERENCE_NUM_THREADS": str(self.threads),
            "NUM_STREAMS": "1",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": TYPES[dtype].to_string() if dtype in self.precisions() else "f32",
        }

    def precisions(self) -> tuple[str, ...]:
        """In which the CPU computes: the others are converted."""
        able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return ("float32", *[name for name, key in (("bfloat16", "BF16"), ("float16", "FP16")) if key in able])

    def about(self) -> dict[str, str]:
        return {
            "version": ov.get_version(),
            "capabilities": " ".join(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            "threads": f"INFERENCE_NUM_THREADS {self.threads}, one stream, latency hint",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        if point.dtype not in self.precisions():
            raise Unsupported(f"OpenVINO does not compute in {point.dtype} on this CPU")
        repeated = [q, repeat_heads(k, point.group), repeat_heads(v, point.group)]
        note = ", key heads repeated beforehand" if point.group > 1 else ""
        calls = [self.call(point, f"[B, H, N, D]{note}", *map(heads_first, repeated))]
        if point.group > 1 and point.key_heads == 1:
            calls.append(self.call(point, "[B, H, N, D], the key head broadcast", *map(heads_first, (q, k, v))))
        return calls

    def call(self, point: Point, way: str, *tensors: np.ndarray) -> Call:
        kind = TYPES[point.dtype]
        parameters = [ops.parameter(list(x.shape), kind) for x in tensors]
        node = ops.scaled_dot_product_attention(*parameters, causal=point.causal)
        compiled = self.core.compile_model(ov.Model([node], parameters), "CPU", self.config(point.dtype))
        request = compiled.create_infer_request()
        for i, x in enumerate(tensors):
            raw = x.view(np.uint16) if point.dtype == "bfloat16" else x
            request.set_input_tensor(i, ov.Tensor(raw, x.shape, kind) if raw is not x else ov.Tensor(x, shared_memory=True))
        executed = sorted({op.get_rt_info()["layerType"].astype(str) for op in compiled.get_runtime_model().get_ops()})

        def run() -> ov.InferRequest:
            request.infer(share_outputs=True)
            return request

        def result(done: ov.InferRequest) -> np.ndarray:
            return np.array(done.get_output_tensor(0).data).transpose(0, 2, 1, 3)

        run.keep = tensors
        return Call(f"{way}, runs as {' '.join(executed)}", run, result)
