"""Whether sparse masks cost what they leave, and what biases, soft-cap and sinks cost."""

from results import Results
from text import Section, mark, not_measured, pivot, table

MOST_OVER_SHARE = 1.15
MOST_EXTRA = 1.05


def section(results: Results, plots) -> Section:
    rows = results.rows("patterns")
    if not rows:
        return not_measured("Patterns", "patterns")
    part = Section("Patterns")
    sparse = [row for row in rows if row["kind"] == "sparse"]
    part.add(
        "Sparse masks against `Full`: the share of tiles (60 queries by 128 keys) that a mask leaves, and the share of "
        f"the time it takes. Target: time at most {MOST_OVER_SHARE} times the tiles."
    )
    lines = []
    for row in sparse:
        over = row["ratio"] / row["share"]
        lines.append(
            [
                row["pattern"].replace("_", " "),
                row["dim"],
                row["length"],
                f"{100 * row['share']:.1f} %",
                f"{100 * row['ratio']:.1f} %",
                mark(f"{over:.2f}", over <= MOST_OVER_SHARE),
            ]
        )
    part.add(table(["pattern", "dim", "length", "tiles", "time", "time over tiles"], lines))
    part.judge(
        f"sparse masks at most {MOST_OVER_SHARE} times their share of tiles",
        [(row["ratio"] / row["share"], f"{row['pattern']}, {row.where()}") for row in sparse],
        most=MOST_OVER_SHARE,
    )

    extra = [row for row in rows if row["kind"] == "extra"]
    overhead = lambda ratio: f"{100 * (ratio - 1):+.1f} %"  # noqa: E731
    part.add(f"ALiBi, soft-cap and sinks over plain attention. Target: within {100 * (MOST_EXTRA - 1):.0f} %.")
    titles = {"alibi": "ALiBi", "soft_cap": "soft-cap", "sinks": "sinks"}
    cell = lambda row: mark(overhead(row["ratio"]), row["ratio"] <= MOST_EXTRA)  # noqa: E731
    part.add(pivot(extra, ["dim", "mask"], "what", cell, titles=titles))
    part.judge(
        f"ALiBi, soft-cap and sinks within {100 * (MOST_EXTRA - 1):.0f} %",
        [(row["ratio"], f"{row['what']}, {row.where()}") for row in extra],
        most=MOST_EXTRA,
        form=overhead,
    )
    return part
