#!/usr/bin/env python3
"""Is one version of the library slower than another? Measures the same calls of both in turns.

    bench/compare_speed.py BEFORE AFTER [--minutes M] [--only TEXT] [--compiler C] [--target T] [--folder DIR]

BEFORE and AFTER are include folders (.../include). The script compiles bench/speed/library.cpp with each of them,
as a release build is, loads both libraries into one process, and measures each point in turns of some milliseconds:
before, after, after, before, and so on. Both see the same machine so, even if it does other work too; points on one
thread are measured in the time that the thread was running, those on two in the time that passed. A round's figure
is the median of the ratios after/before of neighbouring turns. Each of the six rounds is a process of its own, as
it matters where memory is; a point's figure is their geometric mean, and beside it are the lowest and the highest
round, which show the noise, and the ratio of the least times. The last lines are geometric means for each group of
points.

To see what the machine can tell apart, compare a folder with itself. Libraries are kept in --folder
(build/speed unless given), and compiled again unless --built is given.
"""

import argparse
import ctypes
import math
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
TURN_SECONDS = 4e-3  # long enough for the clock, short enough that both see the same machine
ROUNDS = 6  # an even number


class Library:
    """The points of one version."""

    def __init__(self, file: pathlib.Path):
        self.library = ctypes.CDLL(str(file), mode=os.RTLD_LOCAL)
        self.library.point_name.restype = ctypes.c_char_p
        self.library.make_point.restype = ctypes.c_void_p
        self.library.free_point.argtypes = [ctypes.c_void_p]
        self.library.seconds_of.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.library.seconds_of.restype = ctypes.c_double
        self.names = [self.library.point_name(i).decode() for i in range(self.library.point_count())]

    def make(self, point: int):
        return self.library.make_point(point)

    def free(self, made) -> None:
        self.library.free_point(made)

    def seconds(self, made, calls: int) -> float:
        return self.library.seconds_of(made, calls)


def build(include: pathlib.Path, file: pathlib.Path, arguments: argparse.Namespace) -> None:
    subprocess.run(
        [
            arguments.compiler, "-std=c++20", "-O2", "-DNDEBUG", "-shared", "-fPIC", "-pthread",
            # Else the loader would give both the variables, and so the kernels, of the first.
            "-fvisibility=hidden", "-fvisibility-inlines-hidden",
            f"-I{include}", f"-I{arguments.eigen}", str(HERE / "speed" / "library.cpp"), "-o", str(file),
        ],
        check=True,
    )  # fmt: skip


def measure(libraries: list[Library], first: int, point: int, budget: float) -> tuple[float, list[float]]:
    """Takes turns for `budget` seconds. Returns the median of the ratios, and the least time of each library."""
    made = [None, None]
    for which in (first, 1 - first):
        made[which] = libraries[which].make(point)
        libraries[which].seconds(made[which], 1)  # warms up: memory, tables, caches
    once = libraries[0].seconds(made[0], 1)
    calls = max(1, math.ceil(TURN_SECONDS / max(once, 1e-7)))
    ratios = []
    least = [math.inf, math.inf]
    end = time.monotonic() + budget
    while len(ratios) < 2 or time.monotonic() < end:
        times = [0.0, 0.0]
        for which in (first, 1 - first):
            times[which] = libraries[which].seconds(made[which], calls) / calls
            least[which] = min(least[which], times[which])
        first = 1 - first
        ratios.append(times[1] / times[0])
    for library, operands in zip(libraries, made):
        library.free(operands)
    return statistics.median(ratios), least


def play_round(number: int, files: list[pathlib.Path], wanted: str, seconds: float) -> dict:
    """All points once, in a process of its own. Who is loaded, and has its memory, first changes from round to round."""
    first = number % 2
    libraries: list = [None, None]
    for which in (first, 1 - first):
        libraries[which] = Library(files[which])
    names = [name for name in libraries[0].names if wanted in name]
    return {
        name: measure(libraries, first, libraries[0].names.index(name), seconds / len(names)) for name in names
    }


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="without compiling")
    parser.add_argument("--only", default="", help="points whose name contains this")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--target", help="an instruction set, as COCA_TARGET names it")
    parser.add_argument("--eigen", default="/usr/include/eigen3")
    parser.add_argument("--folder", type=pathlib.Path, default=HERE.parent / "build" / "speed")
    parser.add_argument("--built", action="store_true", help="take the libraries that are in --folder")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.target:
        os.environ["COCA_TARGET"] = arguments.target
    files = [arguments.folder / f"{name}.so" for name in ("before", "after")]
    if not arguments.built:
        for include, file in zip((arguments.before, arguments.after), files):
            build(include, file, arguments)
    results = []
    for number in range(ROUNDS):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            seconds = arguments.minutes * 60 / ROUNDS
            results.append(process.submit(play_round, number, files, arguments.only, seconds).result())

    print("after/before: mean of the rounds, the lowest and the highest round, ratio of the least times; time before")
    groups: dict[str, list[tuple[float, float]]] = {}
    for name in results[0]:
        medians = [result[name][0] for result in results]
        before, after = (min(result[name][1][which] for result in results) for which in (0, 1))
        middle = geometric_mean(medians)
        print(
            f"{middle:7.4f}   {min(medians):.4f} {max(medians):.4f}   {after / before:.4f}   "
            f"{before * 1e3:9.4f} ms   {name}"
        )
        groups.setdefault(name.split("/")[0], []).append((middle, after / before))
    print("\ngeometric means: of the rounds, of the least times")
    groups["all"] = [pair for pairs in groups.values() for pair in pairs]
    for name, pairs in groups.items():
        middles, leasts = zip(*pairs)
        print(f"{geometric_mean(middles):7.4f}   {geometric_mean(leasts):.4f}   {name}")


if __name__ == "__main__":
    main()
