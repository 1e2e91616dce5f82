"""One point: this library and one other implementation in turns."""

import math
import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from inputs import TOLERANCE, largest_error
from points import Point
from process import WorkerProcess, processors

TURN_SECONDS = 0.02  # a turn makes as many calls as fill this
LONG_SECONDS = 1.0  # the run that checks the result then counts as the first round


@dataclass
class Turns:
    """Raw numbers of one side of a comparison."""

    worker: WorkerProcess
    way: str
    ways: dict[str, float]
    calls: int
    error: float
    seconds: list[float] = field(default_factory=list)  # of one call
    cores: list[float] = field(default_factory=list)  # processor time over time: how many were busy
    waited: list[float] = field(default_factory=list)  # until the other side was idle

    def turn(self, other: WorkerProcess) -> float:
        """Gives the share of a core that the other side took meanwhile."""
        self.waited.append(other.wait_until_idle())
        before, since = other.processor_seconds(), time.perf_counter()
        answer = self.worker.ask("time", calls=self.calls)
        disturbance = (other.processor_seconds() - before) / (time.perf_counter() - since)
        self.seconds.append(answer["seconds"] / self.calls)
        self.cores.append(answer["processor_seconds"] / answer["seconds"])
        return disturbance

    def as_dict(self) -> dict:
        return {
            "way": self.way,
            "ways tried": self.ways,
            "calls a turn": self.calls,
            "error": self.error,
            "seconds": self.seconds,
            "median seconds": statistics.median(self.seconds),
            "cores": self.cores,
            "waited": self.waited,
        }


def load_of(*workers: WorkerProcess) -> dict[str, float]:
    """Seconds so far: of processors at work, of those taken from this virtual machine, of our own."""
    own = sum(worker.processor_seconds() for worker in workers) + time.process_time()
    return {"time": time.perf_counter(), "own": own, **processors()}


class Refused(Exception):
    """No comparison, and why."""


def prepare(worker: WorkerProcess, point: Point, expected: np.ndarray) -> Turns:
    answer = worker.ask("prepare", point=point.__dict__)
    if "reason" in answer:
        raise Refused(f"{worker.name}: {answer['reason']}")
    error = largest_error(np.load(answer["rows"]), expected)
    if not error < TOLERANCE[point.dtype]:
        raise Refused(f"{worker.name}: wrong result: off by {error:.1e} of a row's size, way '{answer['way']}'")
    seconds = answer["seconds"]
    turns = Turns(worker, answer["way"], answer["ways"], max(1, math.ceil(TURN_SECONDS / seconds)), error)
    turns.seconds.append(seconds)
    return turns


def compare(
    point: Point, ours: WorkerProcess, peer: WorkerProcess, rounds: int, max_seconds: float, expected: np.ndarray
) -> dict:
    """Raw numbers of both sides and their ratio, peer over ours: above 1, ours is faster."""
    before = load_of(ours, peer)
    sides = [prepare(worker, point, expected) for worker in (ours, peer)]
    first = [side.seconds[0] for side in sides]
    long = min(first) >= LONG_SECONDS
    wanted = sum(max(seconds, TURN_SECONDS) for seconds in first)
    rounds = max(1, min(rounds, int(max_seconds / wanted)))
    if not long:
        before = load_of(ours, peer)
        for side in sides:
            side.seconds.clear()

    disturbances = []
    for number in range(rounds - (1 if long else 0)):
        # Who begins changes, so that a drift of the machine favours nobody.
        for i in (0, 1) if number % 2 == 0 else (1, 0):
            disturbances.append(sides[i].turn(sides[1 - i].worker))
    load = {name: after - start for (name, start), after in zip(before.items(), load_of(ours, peer).values())}

    ratios = [theirs / own for own, theirs in zip(sides[0].seconds, sides[1].seconds)]
    return {
        "rounds": rounds,
        "first run counts": long,
        "ours": sides[0].as_dict(),
        "theirs": sides[1].as_dict(),
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "ratio min": min(ratios),
        "ratio max": max(ratios),
        "largest disturbance": max(disturbances, default=None),
        "busy with others": (load["busy"] - load["own"]) / load["time"],
        "stolen": load["stolen"] / load["time"],
    }
