"""What a worker needs to know of an implementation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from points import Point


class Unsupported(Exception):
    """The implementation cannot do this point; the text says why."""


@dataclass
class Call:
    """One way to compute a point, with its inputs laid out beforehand."""

    way: str
    run: Callable[[], Any]
    # From what run gave to [batch, tokens, heads, dim], outside the timing.
    tokens_first: Callable[[Any], np.ndarray]


class Peer(Protocol):
    def __init__(self, threads: int) -> None: ...

    def about(self) -> dict[str, str]:
        """Versions and settings."""
        ...

    def calls(self, point: Point, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[Call]:
        """Every way worth trying: the worker takes the fastest. Raises Unsupported. Where gradients are asked
        for, that of the result comes behind v, and a call gives dq, dk and dv behind each other as heads are."""
        ...


def heads_first(x: np.ndarray) -> np.ndarray:
    """[batch, tokens, heads, dim] to [batch, heads, tokens, dim], one row after another."""
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3))


def repeat_heads(x: np.ndarray, group: int) -> np.ndarray:
    """For implementations without grouped heads: every query head gets a key head of its own."""
    return np.repeat(x, group, axis=2) if group > 1 else x


def available_bytes() -> int:
    with open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    raise OSError("no MemAvailable in /proc/meminfo")


def require_memory(needed: float) -> None:
    free = 0.85 * available_bytes()
    if needed > free:
        raise Unsupported(f"needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")
