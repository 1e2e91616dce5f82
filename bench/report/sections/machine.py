"""What the machine can do."""

from results import Results
from text import Section, not_measured, table


def section(results: Results, plots) -> Section:
    rows = results.rows("machine")
    if not rows:
        return not_measured("The machine", "machine")
    part = Section("The machine")
    lines = []
    for row in rows:
        what = f"multiply-adds in {row['type']}" if row["kind"] == "peak" else "reading memory"
        unit = "GFLOP/s" if row["kind"] == "peak" else "GB/s"
        lines.append(
            [what, row["threads"], *(f"{1e-9 * row[key]:.1f} {unit}" for key in ("rate", "rate_low", "rate_high"))]
        )
    part.add(table(["", "threads", "median", "lowest decile", "highest decile"], lines))
    return part
