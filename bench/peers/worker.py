"""A process that times one implementation, started by compare.py: worker.py NAME THREADS.

Requests and answers are lines of JSON:
    {"op": "about"}                      -> versions and settings
    {"op": "prepare", "point": {...}}    -> lays out the inputs, runs once, takes the fastest way
    {"op": "time", "calls": n}           -> seconds of n calls, and the processor time they took
    {"op": "release"}                    -> forgets the inputs
"""

import importlib
import json
import os
import pathlib
import sys
import tempfile
import time
import traceback

import numpy as np

from calls.peer import Call, Unsupported
from inputs import random_inputs, sampled_tokens
from points import Point

# Ways are compared anew at every point until a call takes this long; then the way of the last point
# of the same kind is kept.
LONG_CALL_SECONDS = 0.5


def seconds_of(call: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call.run()
    return time.perf_counter() - start


def settled_seconds(call: Call) -> float:
    """Of one call: the best of three runs of 5 ms or more each."""
    seconds = seconds_of(call, 1)
    calls = max(1, round(0.005 / max(seconds, 1e-7)))
    return min(seconds_of(call, calls) / calls for _ in range(3))


class Worker:
    def __init__(self, name: str, threads: int) -> None:
        self.peer = importlib.import_module(f"calls.{name}").Peer(threads)
        self.call: Call | None = None
        self.best_way: dict[tuple, str] = {}
        self.folder = tempfile.TemporaryDirectory()
        self.rows = pathlib.Path(self.folder.name) / "rows.npy"

    def about(self) -> dict:
        return self.peer.about()

    def prepare(self, point: dict) -> dict:
        self.call = None
        where = Point(**point)
        calls = self.peer.calls(where, *random_inputs(where))
        kind = (where.dtype, where.dim, where.causal, where.group > 1, where.task)
        known = [call for call in calls if call.way == self.best_way.get(kind)]

        first = (known or calls)[0]
        start = time.perf_counter()
        result = first.run()
        seconds = time.perf_counter() - start
        ways = {first.way: seconds}
        self.call = first
        if seconds < LONG_CALL_SECONDS:
            ways = {call.way: settled_seconds(call) for call in calls}
            self.call = min(calls, key=lambda call: ways[call.way])
            seconds = ways[self.call.way]
            result = self.call.run()
        self.best_way[kind] = self.call.way

        rows = self.call.tokens_first(result)[:, sampled_tokens(where)].astype(np.float64)
        np.save(self.rows, rows)
        return {"way": self.call.way, "ways": ways, "seconds": seconds, "rows": str(self.rows)}

    def time(self, calls: int) -> dict:
        if calls > 1:  # the other side has had the caches
            self.call.run()
        before = time.process_time()
        seconds = seconds_of(self.call, calls)
        return {"seconds": seconds, "processor_seconds": time.process_time() - before}

    def release(self) -> dict:
        self.call = None
        return {}


def main() -> None:
    # What libraries print must not end up among the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(sys.argv[1], int(sys.argv[2]))
            answer = getattr(worker, request.pop("op"))(**request)
        except Unsupported as reason:
            answer = {"reason": str(reason)}
        except Exception as problem:
            traceback.print_exc()
            text = f"{type(problem).__name__}: {problem}".strip()
            answer = {"reason": f"failed with {text.splitlines()[0][:300]}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
