"""This library, through bench/peers/coca_c.cpp."""

import ctypes
import os

import numpy as np

from calls.peer import Call
from points import Point


pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64


class CocaCall(ctypes.Structure):
    """As in coca_c.cpp."""

    _fields_ = [
        *[(name, text) for name in ("scheme", "dtype")],
        *[(name, pointer) for name in ("out", "q", "k", "v")],
        *[(name, number) for name in ("batch", "queries", "keys", "heads", "key_heads", "dim", "value_dim")],
        *[(name, number) for name in ("causal", "threads")],
    ]


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.library = ctypes.CDLL(os.environ["COCA_PEER_LIBRARY"])
        self.library.coca_attention.restype = text
        self.library.coca_attention.argtypes = [pointer]

    def text(self, function: str) -> str:
        call = self.library[function]
        call.restype = ctypes.c_char_p
        return call().decode()

    def about(self) -> dict[str, str]:
        return {
            "instruction set": self.text("coca_target"),
            "compiler": self.text("coca_compiler"),
            "flags": self.text("coca_flags"),
            "threads": "Eigen::ThreadPoolDevice",
        }

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        out = np.zeros_like(q)
        call = CocaCall(
            b"dot", point.dtype.encode(), *[x.ctypes.data for x in (out, q, k, v)],
            point.batch, point.length, point.length, point.heads, point.key_heads, point.dim, point.dim,
            point.causal, self.threads,
        )  # fmt: skip
        attention, address = self.library.coca_attention, ctypes.addressof(call)

        def run() -> np.ndarray:
            error = attention(address)
            if error:
                raise RuntimeError(error.decode())
            return out

        run.keep = (call, q, k, v)  # the addresses alone would not
        return [Call("[B, N, H, D]", run, lambda result: result)]
