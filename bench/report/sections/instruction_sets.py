"""One binary for all processors."""

from results import Results
from text import Section, mark, not_measured, pivot

MOST = 1.05


def section(results: Results, plots) -> Section:
    rows = results.rows("instruction_sets")
    if not rows:
        return not_measured("One binary", "instruction_sets")
    part = Section("One binary")
    context = results.context("instruction_sets")
    part.add(
        f"The time of a build with `{context['plain flags']}` over that of one with `{context['native flags']}`, "
        "both in one "
        f"process, causal, one thread. Target: at most {MOST:g}."
    )
    part.add(pivot(rows, ["scheme", "dim"], "length", lambda row: mark(f"{row['ratio']:.3f}", row["ratio"] <= MOST)))
    part.judge(
        f"plain build within {100 * (MOST - 1):.0f} % of a native one",
        [(row["ratio"], row.where()) for row in rows],
        most=MOST,
        form="{:.3f}".format,
    )
    return part
