"""OpenVINO's ScaledDotProductAttention on the CPU: a compiled model of this one operation.

It has no grouped heads: key heads are repeated beforehand, or broadcast where there is one. Shapes are
fixed when the model is compiled, which OpenVINO likes best: open lengths, or the node that a model with
a key cache gets, take longer.
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from calls.peer import Call, Unsupported, heads_first, repeat_heads
from points import Point

TYPES = {"float32": ov.Type.f32, "float16": ov.Type.f16, "bfloat16": ov.Type.bf16}


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.core = ov.Core()

    def precision(self, dtype: str) -> str:
        """What is computed in. Types that the processor lacks are taken and given all the same."""
        able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        native = {"bfloat16": "BF16", "float16": "FP16"}.get(dtype) in able
        return TYPES[dtype].to_string() if native else "f32"

    def config(self, dtype: str) -> dict[str, str]:
        return {
            "INFERENCE_NUM_THREADS": str(self.threads),
            "NUM_STREAMS": "1",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.precision(dtype),
        }

    def about(self) -> dict[str, str]:
        return {
            "version": ov.get_version(),
            "capabilities": " ".join(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            "threads": f"INFERENCE_NUM_THREADS {self.threads}, one stream, latency hint",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        if point.dtype == "float64":
            raise Unsupported("OpenVINO computes double in float")
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
            narrow = point.dtype == "bfloat16"
            given = ov.Tensor(x.view(np.uint16), x.shape, kind) if narrow else ov.Tensor(x, shared_memory=True)
            request.set_input_tensor(i, given)
        executed = sorted({op.get_rt_info()["layerType"].astype(str) for op in compiled.get_runtime_model().get_ops()})

        def run() -> ov.InferRequest:
            request.infer(share_outputs=True)
            return request

        def result(done: ov.InferRequest) -> np.ndarray:
            out = np.array(done.get_output_tensor(0).data)
            if point.dtype == "bfloat16":  # which it gives a NumPy type of the same width
                out = out.view(tensors[0].dtype)
            return out.transpose(0, 2, 1, 3)

        run.keep = tensors
        return Call(f"{way}, in {self.precision(point.dtype)}, runs as {' '.join(executed)}", run, result)
