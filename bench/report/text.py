"""Markdown, and how a number stands to its target."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Verdict:
    """One line of the summary."""

    target: str
    measured: str
    met: bool | None  # None where nothing was measured


@dataclass
class Section:
    title: str
    body: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def add(self, *paragraphs: str) -> None:
        self.body += paragraphs

    def judge(
        self,
        target: str,
        values: list[tuple[float, str]],
        least: float = -math.inf,
        most: float = math.inf,
        form: Callable[[float], str] = "{:.2f}".format,
    ) -> None:
        """Holds (value, where) pairs against a target that all of them must meet."""
        if not values:
            self.verdicts.append(Verdict(target, "not measured", None))
            return
        missed = [value for value, _ in values if not least <= value <= most]
        worst, where = min(values) if least > -math.inf else max(values)
        text = f"{len(values) - len(missed)} of {len(values)}; worst {form(worst)} ({where})"
        self.verdicts.append(Verdict(target, text, not missed))

    def text(self) -> str:
        return "\n\n".join([f"## {self.title}", *self.body])


def not_measured(title: str, name: str) -> Section:
    section = Section(title, [f"Not measured in this run: `scripts/bench.sh --only {name}`."])
    section.verdicts.append(Verdict(title, "not measured", None))
    return section


def mark(text: str, met: bool) -> str:
    return text if met else f"**{text}** missed"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def pivot(
    rows: list,
    left: list[str],
    across: str,
    cell: Callable,
    value: Callable = lambda row, key: row[key],
    titles: dict | None = None,
) -> str:
    """A table: a line for each combination of `left`, a column for each value of `across`."""
    columns = titles or {column: f"{across} {column}" for column in sorted({value(row, across) for row in rows})}
    lines: dict[tuple, dict] = {}
    for row in rows:
        lines.setdefault(tuple(value(row, key) for key in left), {})[value(row, across)] = cell(row)
    head = [*(key.replace("_", " ") for key in left), *columns.values()]
    return table(head, ([*key, *(cells.get(column, "") for column in columns)] for key, cells in lines.items()))


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def percent(value: float) -> str:
    return f"{value:.0f} %"


def length_text(length: int) -> str:
    """In powers of two: 512, 16K, 1M."""
    for unit, letter in ((2**20, "M"), (2**10, "K")):
        if length >= unit:
            return f"{length // unit}{letter}"
    return str(length)


def image(name: str, says: str) -> str:
    return f"![{says}](plots/{name}.png)"
