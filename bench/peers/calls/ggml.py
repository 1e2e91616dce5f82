"""ggml's flash attention on the CPU, by its C interface: the shared libraries that install.sh builds.

Queries and sums are float. Keys and values are in the point's type: float, half or bfloat16. A mask
is a tensor of halves that ggml reads; there is no other way to say causal.
"""

import ctypes
import os
import pathlib
import sys

import numpy as np

from calls.peer import Call, Unsupported, heads_first, require_memory
from points import Point

F32, F16 = 0, 1
TYPES = {"float32": F32, "float16": F16, "bfloat16": 30}
ALIGNMENT = 64

pointer, size, number, integer = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, ctypes.c_int
real, text = ctypes.c_float, ctypes.c_char_p


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", size), ("mem_buffer", pointer), ("no_alloc", ctypes.c_bool)]


# Result and arguments of what is called.
DECLARATIONS = {
    "ggml_version": (text,),
    "ggml_commit": (text,),
    "ggml_init": (pointer, InitParams),
    "ggml_free": (None, pointer),
    "ggml_tensor_overhead": (size,),
    "ggml_graph_overhead": (size,),
    "ggml_new_tensor_4d": (pointer, pointer, integer, number, number, number, number),
    "ggml_permute": (pointer, pointer, pointer, integer, integer, integer, integer),
    "ggml_flash_attn_ext": (pointer, pointer, pointer, pointer, pointer, pointer, real, real, real),
    "ggml_get_data": (pointer, pointer),
    "ggml_new_graph": (pointer, pointer),
    "ggml_build_forward_expand": (None, pointer, pointer),
    "ggml_threadpool_params_init": (None, pointer, integer),
    "ggml_threadpool_new": (pointer, pointer),
    "ggml_backend_cpu_init": (pointer,),
    "ggml_backend_cpu_set_n_threads": (None, pointer, integer),
    "ggml_backend_cpu_set_threadpool": (None, pointer, pointer),
    "ggml_backend_graph_compute": (integer, pointer, pointer),
}
VECTORS = ("avx", "avx2", "avx512", "fma", "f16c")


class Library:
    """Functions from whichever of the libraries has them."""

    def __init__(self, folder: pathlib.Path) -> None:
        files = [folder / f"lib{name}.so" for name in ("ggml-base", "ggml-cpu")]
        self.parts = [ctypes.CDLL(str(file), ctypes.RTLD_GLOBAL) for file in files]
        for name, (result, *arguments) in DECLARATIONS.items():
            call = self.find(name)
            call.restype, call.argtypes = result, arguments
            setattr(self, name, call)

    def find(self, name: str) -> ctypes._CFuncPtr:
        for part in self.parts:
            if hasattr(part, name):
                return part[name]
        raise AttributeError(f"ggml has no {name}")


class Context:
    """Tensors and their memory."""

    def __init__(self, ggml: Library, bytes_of_data: int) -> None:
        self.ggml = ggml
        overhead = 32 * (ggml.ggml_tensor_overhead() + ALIGNMENT) + 4 * ggml.ggml_graph_overhead()
        self.handle = ggml.ggml_init(InitParams(bytes_of_data + overhead, None, False))

    def tensor(self, x: np.ndarray, kind: int) -> int:
        """ggml names the fastest axis first."""
        made = self.ggml.ggml_new_tensor_4d(self.handle, kind, *reversed(x.shape))
        x = np.ascontiguousarray(x)
        ctypes.memmove(self.ggml.ggml_get_data(made), x.ctypes.data, x.nbytes)
        return made

    def __del__(self) -> None:
        self.ggml.ggml_free(self.handle)


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.folder = pathlib.Path(os.environ.get("GGML_LIBRARIES", pathlib.Path(sys.prefix) / "ggml"))
        self.ggml = Library(self.folder)
        self.backend = self.ggml.ggml_backend_cpu_init()
        params = ctypes.create_string_buffer(4096)  # more than ggml_threadpool_params takes
        self.ggml.ggml_threadpool_params_init(params, threads)
        self.ggml.ggml_backend_cpu_set_n_threads(self.backend, threads)
        self.ggml.ggml_backend_cpu_set_threadpool(self.backend, self.ggml.ggml_threadpool_new(params))

    def about(self) -> dict[str, str]:
        options = self.folder / "options.txt"
        return {
            "version": f"{self.ggml.ggml_version().decode()}, {self.ggml.ggml_commit().decode()}",
            "build": options.read_text().strip() if options.exists() else "not recorded",
            "vectors": " ".join(v for v in VECTORS if self.ggml.find(f"ggml_cpu_has_{v}")()),
            "threads": f"n_threads {self.threads}, one thread pool kept",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        if point.dtype not in TYPES:
            raise Unsupported(f"ggml has no {point.dtype} here")
        kind = TYPES[point.dtype]
        q = q.astype(np.float32)
        tensors = 2 * (2 * q.nbytes + k.nbytes + v.nbytes) + 16 * ALIGNMENT
        mask_bytes = 2 * point.length**2 if point.causal else 0
        require_memory(tensors + 2 * mask_bytes)
        context = Context(self.ggml, tensors + mask_bytes)
        mask = None
        if point.causal:
            values = np.triu(np.full((point.length, point.length), -np.inf, dtype=np.float16), 1)
            mask = context.tensor(values[None, None], F16)

        apart = [context.tensor(heads_first(x), t) for x, t in ((q, F32), (k, kind), (v, kind))]
        together = [context.tensor(x, t) for x, t in ((q, F32), (k, kind), (v, kind))]
        swapped = [self.ggml.ggml_permute(context.handle, x, 0, 2, 1, 3) for x in together]
        return [
            self.call(point, context, "[B, H, N, D]", apart, mask),
            self.call(point, context, "[B, N, H, D] permuted", swapped, mask),
        ]

    def call(self, point: Point, context: Context, way: str, qkv: list[int], mask: int | None) -> Call:
        ggml = self.ggml
        result = ggml.ggml_flash_attn_ext(context.handle, *qkv, mask, point.dim**-0.5, 0.0, 0.0)
        graph = ggml.ggml_new_graph(context.handle)
        ggml.ggml_build_forward_expand(graph, result)
        shape = (point.batch, point.length, point.heads, point.dim)
        data = ctypes.cast(ggml.ggml_get_data(result), ctypes.POINTER(real))

        def run() -> Context:  # which holds the result
            status = ggml.ggml_backend_graph_compute(self.backend, graph)
            if status != 0:
                raise RuntimeError(f"ggml_backend_graph_compute gave {status}")
            return context

        return Call(f"{way}, K and V {point.dtype}", run, lambda _: np.ctypeslib.as_array(data, shape))
