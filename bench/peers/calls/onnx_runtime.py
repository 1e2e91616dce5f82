"""ONNX Runtime's CPU operators: GroupQueryAttention, MultiHeadAttention and the standard Attention.

GroupQueryAttention is causal only. MultiHeadAttention has no grouped heads: its key heads are
repeated beforehand. Inputs and output stay where they are, by IO binding.
"""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from calls.peer import Call, Unsupported, heads_first, repeat_heads
from inputs import rotate
from points import Point

TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
}


def in_rows(x: np.ndarray) -> np.ndarray:
    """[B, N, H, D] to [B, N, H * D]."""
    return x.reshape(*x.shape[:2], -1)


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def about(self) -> dict[str, str]:
        return {
            "version": ort.__version__,
            "build": ort.get_build_info(),
            "threads": f"intra_op_num_threads {self.threads}, inter_op_num_threads 1, spinning as by default",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        if point.dtype == "bfloat16":
            raise Unsupported("the CPU operators have no bfloat16")
        if point.decode:
            return [self.group_query_step(point, q, k, v)]
        makers = [self.attention_rows, self.attention_heads, self.multi_head]
        if point.causal:
            makers.insert(0, self.group_query)
        calls, problems = [], []
        for make in makers:
            try:
                calls.append(make(point, q, k, v))
            except Exception as problem:  # of many kinds: a kernel or a version that is not there
                problems.append(f"{make.__name__}: {str(problem).splitlines()[0][:120]}")
        if not calls:
            raise Unsupported("; ".join(problems))
        return calls

    def group_query(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        past = np.zeros((point.batch, point.key_heads, 0, point.dim), q.dtype)
        inputs = {
            "q": in_rows(q),
            "k": in_rows(k),
            "v": in_rows(v),
            "past_k": past,
            "past_v": past,
            "last_key": np.full(point.batch, point.length - 1, np.int32),
            "total": np.array([point.length], np.int32),
        }
        attributes = {"num_heads": point.heads, "kv_num_heads": point.key_heads}
        outputs = ["out", "present_k", "present_v"]
        return self.call(point, "GroupQueryAttention", "com.microsoft", inputs, outputs, attributes, self.rows_back)

    def group_query_step(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        """The last token is added to the others in the same memory, as to a cache, every time anew. Keys are
        rotated beforehand, and so is the query."""
        rotate(q, point.length - 1)
        rotate(k, point.length - 1)
        inputs = {
            "q": in_rows(q),
            "k": in_rows(k[:, -1:].copy()),
            "v": in_rows(v[:, -1:].copy()),
            "past_k": heads_first(k),
            "past_v": heads_first(v),
            "last_key": np.full(point.batch, point.length - 1, np.int32),
            "total": np.array([point.length], np.int32),
        }
        attributes = {"num_heads": point.heads, "kv_num_heads": point.key_heads}
        shared = {"present_k": "past_k", "present_v": "past_v"}
        return self.call(point, "GroupQueryAttention", "com.microsoft", inputs, ["out", *shared], attributes,
                         self.rows_back, shared)  # fmt: skip

    def multi_head(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        inputs = {
            "q": in_rows(q),
            "k": in_rows(repeat_heads(k, point.group)),
            "v": in_rows(repeat_heads(v, point.group)),
        }
        attributes = {"num_heads": point.heads, "unidirectional": int(point.causal)}
        return self.call(point, "MultiHeadAttention", "com.microsoft", inputs, ["out"], attributes, self.rows_back)

    def attention_rows(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        inputs = {"q": in_rows(q), "k": in_rows(k), "v": in_rows(v)}
        attributes = {"q_num_heads": point.heads, "kv_num_heads": point.key_heads, "is_causal": int(point.causal)}
        return self.call(point, "Attention", "", inputs, ["out"], attributes, self.rows_back)

    def attention_heads(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Call:
        inputs = {"q": heads_first(q), "k": heads_first(k), "v": heads_first(v)}
        attributes = {"is_causal": int(point.causal)}
        return self.call(point, "Attention", "", inputs, ["out"], attributes, lambda x: x.transpose(0, 2, 1, 3))

    @staticmethod
    def rows_back(x: np.ndarray) -> np.ndarray:
        return x

    def call(self, point: Point, op: str, domain: str, inputs: dict[str, np.ndarray], outputs: list[str],
             attributes: dict[str, int], tokens_first, shared: dict[str, str] | None = None) -> Call:  # fmt: skip
        """`shared`: outputs that stand where an input does."""
        node = helper.make_node(op, list(inputs), outputs, domain=domain, **attributes)
        types = {np.dtype(np.int32): TensorProto.INT32}
        graph = helper.make_graph(
            [node],
            "attention",
            [helper.make_tensor_value_info(name, types.get(x.dtype, TYPES[point.dtype]), x.shape)
             for name, x in inputs.items()],
            [helper.make_tensor_value_info(name, TYPES[point.dtype], None) for name in outputs],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=min(11, onnx.IR_VERSION))

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        values = {name: ort.OrtValue.ortvalue_from_numpy(x) for name, x in inputs.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        for name in outputs:
            if shared and name in shared:
                binding.bind_ortvalue_output(name, values[shared[name]])
            else:
                binding.bind_output(name, "cpu")

        def run() -> ort.IOBinding:
            session.run_with_iobinding(binding)
            return binding

        def result(bound: ort.IOBinding) -> np.ndarray:
            x = tokens_first(bound.get_outputs()[0].numpy())
            return x.reshape(point.batch, point.queries, point.heads, point.dim)

        run.keep = (inputs, values)
        layout = "[B, N, H * D]" if inputs["q"].ndim == 3 else "[B, H, N, D]"
        return Call(f"{op} on {layout}", run, result)
