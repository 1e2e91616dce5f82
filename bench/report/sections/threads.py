"""Two cores against one."""

from results import Results, Row
from text import Section, mark, not_measured, pivot

LEAST = 1.9
LEAST_LENGTH = 512


def cell(row: Row) -> str:
    return mark(f"{row['ratio']:.2f} ({row['cores']:.2f})", row["length"] < LEAST_LENGTH or row["ratio"] >= LEAST)


def section(results: Results, plots) -> Section:
    rows = results.rows("threads")
    if not rows:
        return not_measured("Threads", "threads")
    part = Section("Threads")
    part.add(
        f"Time on one thread over time on two, in turns. Target: at least {LEAST:g} from length {LEAST_LENGTH} "
        "on, whatever the mask. In brackets how many processors the call on two threads kept busy."
    )
    part.add(pivot(rows, ["heads", "dim", "mask"], "length", cell))
    part.judge(
        f"two cores at least {LEAST:g} times one",
        [(row["ratio"], row.where()) for row in rows if row["length"] >= LEAST_LENGTH],
        least=LEAST,
    )
    return part
