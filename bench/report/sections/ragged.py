"""Sequences of different lengths, packed."""

from results import Results
from text import Section, mark, not_measured, table

LEAST = 1.9


def section(results: Results, plots) -> Section:
    rows = results.rows("ragged")
    if not rows:
        return not_measured("Ragged lengths", "ragged")
    part = Section("Ragged lengths")
    part.add(
        "Eight sequences of 2 to 4096 tokens in one causal call of `packed_attention`, 8 query and 2 key heads: time "
        f"on one thread over time on two (target: at least {LEAST:g}), and the time of the same sequences padded to the "
        "longest in one batch over theirs."
    )
    speedups = [row for row in rows if row["kind"] == "speedup"]
    lines = [[f"speedup, {row.where()}", mark(f"{row['ratio']:.2f}", row["ratio"] >= LEAST)] for row in speedups]
    lines += [[f"padded, {row.where()}", f"{row['ratio']:.2f}"] for row in rows if row["kind"] == "padding"]
    part.add(table(["", "ratio"], lines))
    part.judge(
        f"two cores at least {LEAST:g} times one, ragged lengths",
        [(row["ratio"], row.where()) for row in speedups],
        least=LEAST,
    )
    return part
