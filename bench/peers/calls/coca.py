"""This library, through bench/peers/coca_c.cpp."""

import ctypes
import os

import numpy as np

from calls.peer import Call
from points import Point


pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64


class CocaCall(ctypes.Structure):
    """As in c_interface.hpp."""

    _fields_ = [
        *[(name, text) for name in ("scheme", "dtype")],
        *[(name, pointer) for name in ("out", "q", "k", "v")],
        *[(name, number) for name in ("batch", "queries", "keys", "heads", "key_heads", "dim", "value_dim")],
        *[(name, number) for name in ("causal", "threads")],
    ]


class CocaGradients(ctypes.Structure):
    _fields_ = [
        ("forward", CocaCall),
        *[(name, pointer) for name in ("lse", "dout", "dq", "dk", "dv")],
        ("step", number),
    ]


class CocaDecode(ctypes.Structure):
    _fields_ = [
        *[(name, pointer) for name in ("cache", "out", "q")],
        *[(name, number) for name in ("heads", "dim", "threads")],
    ]


class Cache:
    """A paged cache of the library, with all keys and values of a point."""

    def __init__(self, library: ctypes.CDLL, point: Point, k: np.ndarray, v: np.ndarray) -> None:
        self.library = library
        self.address = pointer()
        shape = (point.batch, point.key_heads, point.dim)
        check(library.coca_cache_new(ctypes.byref(self.address), point.dtype.encode(), *map(number, shape)))
        check(library.coca_cache_append(self.address, number(point.length), *[pointer(x.ctypes.data) for x in (k, v)]))

    def __del__(self) -> None:
        self.library.coca_cache_free(self.address)


def check(error: bytes | None) -> None:
    if error:
        raise RuntimeError(error.decode())


class Peer:
    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.library = ctypes.CDLL(os.environ["COCA_PEER_LIBRARY"])
        for name in ("coca_attention", "coca_gradients", "coca_decode", "coca_cache_new", "coca_cache_append"):
            getattr(self.library, name).restype = text
        self.library.coca_attention.argtypes = [pointer]
        self.library.coca_gradients.argtypes = [pointer]
        self.library.coca_decode.argtypes = [pointer]

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

    def calls(
        self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray, dout: np.ndarray | None = None
    ) -> list[Call]:
        out = np.zeros_like(q)
        if point.decode:
            cache = Cache(self.library, point, k, v)
            step = CocaDecode(cache.address, out.ctypes.data, q.ctypes.data, point.heads, point.dim, self.threads)
            return [self.call("paged cache", self.library.coca_decode, step, out, (cache, q))]
        call = CocaCall(
            b"dot", point.dtype.encode(), *[x.ctypes.data for x in (out, q, k, v)],
            point.batch, point.length, point.length, point.heads, point.key_heads, point.dim, point.dim,
            point.causal, self.threads,
        )  # fmt: skip
        if dout is None:
            return [self.call("[B, N, H, D]", self.library.coca_attention, call, out, (q, k, v))]
        lse = np.zeros((point.batch, point.heads, point.length), dtype=np.float32)
        results = [np.zeros_like(x) for x in (q, k, v)]
        gradients = CocaGradients(call, *[x.ctypes.data for x in (lse, dout, *results)], 1)
        check(self.library.coca_gradients(ctypes.addressof(gradients)))  # makes out and lse
        gradients.step = point.task == "step"
        keep = (q, k, v, out, lse, dout)
        made = self.call("[B, N, H, D]", self.library.coca_gradients, gradients, results, keep)
        return [Call(made.way, made.run, lambda gradients: np.concatenate(gradients, axis=2))]

    @staticmethod
    def call(way: str, function, arguments: ctypes.Structure, out: np.ndarray | list, keep: tuple) -> Call:
        address = ctypes.addressof(arguments)

        def run() -> np.ndarray:
            check(function(address))
            return out

        run.keep = (arguments, *keep)  # the addresses alone would not
        return Call(way, run, lambda result: result)
