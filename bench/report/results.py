"""What the programs measured, read from their JSON."""

import json
import pathlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of a program: the key:value pairs of its name, its counters and its time."""

    fields: dict
    counters: dict
    seconds: float

    def __getitem__(self, key: str):
        return self.fields[key] if key in self.fields else self.counters[key]

    def where(self) -> str:
        """The row's place in words."""
        parts = [f"{self.fields['mask']}"] if "mask" in self.fields else []
        names = {"dim": "dim", "length": "length", "group": "group", "heads": "heads", "threads": "threads"}
        parts += [f"{text} {self.fields[key]}" for key, text in names.items() if key in self.fields]
        return ", ".join(parts)


def row_of(benchmark: dict) -> Row:
    pairs = [part.split(":", 1) for part in benchmark["name"].split("/") if ":" in part]
    fields = {key: int(value) if value.isdigit() else value for key, value in pairs if key != "iterations"}
    kind = benchmark["name"].split("/")[0]
    scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[benchmark["time_unit"]]
    counters = {key: value for key, value in benchmark.items() if isinstance(value, float)}
    return Row({"kind": kind, **fields}, counters, benchmark["real_time"] * scale)


def read(file: pathlib.Path) -> dict | None:
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # not run, or stopped half way


@dataclass
class Results:
    folder: pathlib.Path

    def program(self, name: str) -> dict:
        return read(self.folder / f"{name}.json") or {}

    def rows(self, name: str) -> list[Row]:
        """Of bench/NAME.cpp; none if it was not run."""
        benchmarks = self.program(name).get("benchmarks", [])
        return [row_of(benchmark) for benchmark in benchmarks if not benchmark.get("error_occurred")]

    def context(self, name: str) -> dict:
        return self.program(name).get("context", {})

    def system(self) -> dict:
        """As bench/peers/machine.py tells it."""
        return read(self.folder / "system.json") or {}

    def comparisons(self) -> list[dict]:
        """The files of bench/peers/compare.py."""
        return [file for path in sorted(self.folder.glob("peers_*.json")) if (file := read(path))]

    def peer_rows(self, point_set: str) -> list[dict]:
        return [row for file in self.comparisons() if file["settings"]["set"] == point_set for row in file["rows"]]
