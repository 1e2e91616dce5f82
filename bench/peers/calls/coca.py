"""This library, through bench/peers/coca_c.cpp."""

import ctypes
import os

import numpy as np

from calls.peer import Call
from points import Point


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.library = ctypes.CDLL(os.environ["COCA_PEER_LIBRARY"])
        pointer, size, text = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
        self.attention = self.library.coca_attention
        self.attention.restype = text
        self.attention.argtypes = [text, text, *[pointer] * 4, *[size] * 7, ctypes.c_int, ctypes.c_int]

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
        tensors = [x.ctypes.data for x in (out, q, k, v)]
        arguments = (
            b"dot", point.dtype.encode(), *tensors,
            point.batch, point.length, point.length, point.heads, point.key_heads, point.dim, point.dim,
            int(point.causal), self.threads,
        )  # fmt: skip

        def run() -> np.ndarray:
            error = self.attention(*arguments)
            if error:
                raise RuntimeError(error.decode())
            return out

        # The views' memory must outlive the addresses.
        run.keep = (q, k, v)
        return [Call("[B, N, H, D]", run, lambda result: result)]
