#!/usr/bin/env python3
"""Compares attention, of prompts, of one token after another and in training, with other implementations on this
processor.

    bench/peers/install.sh                                 # the peers, into build/peers-venv
    cmake --preset release -D COCA_BUILD_BENCH=ON
    cmake --build --preset release --target coca_peer
    build/peers-venv/bin/python bench/peers/compare.py --set prefill --peers pytorch --threads 2 \\
        --out build/prefill.json

Every implementation runs in a process of its own. At each point all get the same numbers, in the
layout they like best; 16 tokens of each result are held against the definition in double. Then this
library and the peer take turns, waiting each time until the other's threads have come to rest; the
ratio of a round is the peer's time over ours. The file has every raw number.

The machine must have nothing else to do: where threads wait for each other in a loop, as OpenMP's
do, a neighbour on one core makes calls many times slower. Rows say how much others took.
"""

import argparse
import json
import os
import pathlib
import sys
import time

# Read when NumPy is loaded: the driver's own products must leave no threads behind.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from tqdm import tqdm

from inputs import expected_rows
from machine import context
from measure import TURN_SECONDS, Refused, compare
from points import SETS, Point
from process import IDLE_LIMIT_SECONDS, IDLE_SHARE, NOT_INHERITED, WorkerEnded, WorkerProcess

PEERS = ["pytorch", "unfused_torch", "unfused_numpy", "onnx_runtime", "open_vino", "jax_xla", "ggml"]
TELLING_SECONDS = 0.1  # a call that takes less says nothing about longer ones
AXES = {"lengths": "length", "dims": "dim", "groups": "group", "dtypes": "dtype", "batches": "batch"}
BUSY_SHARE = 0.1  # of a core, beside the cores that are left over: above, we are in each other's way
PROJECT = pathlib.Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="smoke")
    for axis in AXES:
        parser.add_argument(f"--{axis}", help="only these of the set, separated by commas")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--threads", default="1,2", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="at most; default: %(default)s")
    parser.add_argument("--max-seconds-per-point", type=float, default=8.0,
                        help="fewer rounds, though never none, where they take longer; default: %(default)s")
    parser.add_argument("--max-seconds-per-call", type=float, default=90.0,
                        help="leave out points where a peer would take longer; default: %(default)s")
    parser.add_argument("--library", type=pathlib.Path, default=PROJECT / "build/release/bench/peers/libcoca_peer.so")
    parser.add_argument("--out", type=pathlib.Path, default=PROJECT / "build/peers.json")
    return parser.parse_args()


def chosen_points(options: argparse.Namespace) -> list[Point]:
    points = SETS[options.set]()
    for axis, name in AXES.items():
        if wanted := getattr(options, axis):
            points = [point for point in points if str(getattr(point, name)) in wanted.split(",")]
    return points


def rough_seconds(point: Point, options: argparse.Namespace) -> float:
    """For the progress bar: a point of 32K takes longer than one of 32."""
    both = 2 * point.operations / (5e10 * max(map(int, options.threads.split(","))))
    return min(options.rounds * max(both, 2 * TURN_SECONDS), options.max_seconds_per_point) + 2 * both + 0.5


class Comparison:
    """One peer at one number of threads, over all points."""

    def __init__(self, peer: str, threads: int, options: argparse.Namespace) -> None:
        self.names = ("coca", peer)
        self.threads = threads
        self.options = options
        self.log = options.out.with_suffix(".log")
        self.workers: list[WorkerProcess] = []
        self.rates: dict[tuple, float] = {}

    def start(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.workers = [WorkerProcess(name, self.threads, self.options.library, self.log) for name in self.names]

    def about(self) -> dict:
        self.start()
        try:
            return {name: worker.ask("about") for name, worker in zip(self.names, self.workers)}
        except WorkerEnded as end:
            self.start()
            return {self.names[1]: {"reason": str(end)}}

    def expected_seconds(self, point: Point) -> float:
        """At the speed of the last point of its kind."""
        rate = self.rates.get((point.dtype, point.dim, point.causal, point.task))
        return point.operations / rate if rate else 0.0

    def row(self, point: Point, expected: object) -> dict:
        row = {"peer": self.names[1], "threads": self.threads, "point": point.as_dict()}
        seconds = self.expected_seconds(point)
        if seconds > self.options.max_seconds_per_call:
            return {**row, "reason": f"not run: would take about {seconds:.0f} s a call"}
        try:
            result = compare(point, *self.workers, self.options.rounds, self.options.max_seconds_per_point, expected)
        except Refused as reason:
            result = {"reason": str(reason)}
        except WorkerEnded as end:
            self.start()
            return {**row, "reason": str(end)}
        for worker in self.workers:
            worker.ask("release")
        if "reason" in result:
            return {**row, **result}
        seconds = result["theirs"]["median seconds"]
        if seconds > TELLING_SECONDS:
            self.rates[point.dtype, point.dim, point.causal, point.task] = point.operations / seconds
        return {**row, **result}

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()


def main() -> None:
    options = arguments()
    if not options.library.exists():
        sys.exit(f"compare.py: no {options.library}: build the target coca_peer, or name it with --library")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".log").unlink(missing_ok=True)
    points = chosen_points(options)
    peers = options.peers.split(",")
    thread_counts = [int(count) for count in options.threads.split(",")]
    installed = pathlib.Path(sys.prefix).with_suffix(".json")
    report = {
        "context": context(PROJECT),
        "installed": json.loads(installed.read_text()) if installed.exists() else {},
        "settings": {
            "set": options.set,
            "rounds": options.rounds,
            "max seconds per point": options.max_seconds_per_point,
            "turns": "coca and peer in processes of their own, in turns; who begins a round changes",
            "idle": f"before a turn: until the other process takes less than {IDLE_SHARE:.0%} of a core, "
            f"at most {IDLE_LIMIT_SECONDS:g} s; thread pools spin as they do by default",
            "environment not handed on": NOT_INHERITED,
        },
        "implementations": {},
        "rows": [],
    }
    begin = time.time()
    work = sum(rough_seconds(point, options) for point in points) * len(peers) * len(thread_counts)
    with tqdm(total=work, bar_format="{desc:60} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left") as bar:
        for threads in thread_counts:
            for peer in peers:
                comparison = Comparison(peer, threads, options)
                report["implementations"][f"{peer}, {threads} threads"] = comparison.about()
                for point in points:
                    bar.set_description(f"{peer} x{threads} {point}")
                    row = comparison.row(point, expected_rows(point))
                    report["rows"].append(row)
                    verdict = f"{row['ratio']:6.2f}" if "ratio" in row else row["reason"]
                    if row.get("busy with others", 0.0) > os.cpu_count() - threads + BUSY_SHARE:
                        verdict += f"  DISTURBED: others take {row['busy with others']:.1f} cores"
                    tqdm.write(f"{peer:14} x{threads} {str(point):55} {verdict}")
                    bar.update(min(rough_seconds(point, options), bar.total - bar.n))
                    report["minutes"] = (time.time() - begin) / 60
                    options.out.write_text(json.dumps(report, indent=1))
                comparison.stop()


if __name__ == "__main__":
    main()
