"""What a scheme costs over plain dot products."""

from results import Results, Row
from text import Section, image, mark, not_measured, pivot

MOST = 1.02
LEAST_LENGTH = 2048
SCHEMES = {"rotary": "Rotary", "strict": "CocaStrict", "slack": "CocaSlack", "constrained": "CocaConstrained"}


def overhead(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def draw(rows: list[Row], plots) -> None:
    lengths = sorted({row["length"] for row in rows})
    with plots.figure("schemes") as (axis,):
        for i, (scheme, name) in enumerate(SCHEMES.items()):
            points = [row for row in rows if row["scheme"] == scheme]
            for k, length in enumerate(lengths):
                group = [row for row in points if row["length"] == length]
                for j, row in enumerate(group):
                    place = k + (i - 1.5) * 0.2 + (j / max(1, len(group) - 1) - 0.5) * 0.15
                    middle, low, high = (100 * (row[key] - 1) for key in ("ratio", "ratio_low", "ratio_high"))
                    axis.plot([place, place], [low, high], color=f"C{i}", lw=0.8, alpha=0.5)
                    axis.plot(place, middle, "o", ms=3.5, color=f"C{i}", label=name if j == k == 0 else None)
        axis.set_xticks(range(len(lengths)), [f"length {length}" for length in lengths])
        axis.axhline(0, color="0.3", lw=1)
        axis.axhline(100 * (MOST - 1), color="0.3", lw=0.8, ls=":")
        # A disturbed decile must not squeeze the rest.
        highest = max(100 * (row["ratio"] - 1) for row in rows)
        axis.set_ylim(-5, max(6.0, highest + 2))
        axis.set_ylabel("time over that of Dot, %")
        axis.legend(fontsize=8)


def section(results: Results, plots) -> Section:
    rows = results.rows("schemes")
    if not rows:
        return not_measured("Schemes", "schemes")
    part = Section("Schemes")
    part.add(
        "The time of a scheme over that of `Dot` on tensors of the same shape, four query heads to one key head. "
        "Target: "
        f"within {100 * (MOST - 1):.0f} % from length {LEAST_LENGTH} on."
    )
    fused = [row for row in rows if row["scheme"] in SCHEMES]
    draw(fused, plots)
    part.add(image("schemes", "overhead of the schemes"))
    cell = lambda row: mark(overhead(row["ratio"]), row["length"] < LEAST_LENGTH or row["ratio"] <= MOST)  # noqa: E731
    part.add(pivot(fused, ["scheme", "threads", "dim", "mask"], "length", cell))
    for scheme, name in SCHEMES.items():
        values = [
            (row["ratio"], row.where()) for row in fused if row["scheme"] == scheme and row["length"] >= LEAST_LENGTH
        ]
        part.judge(f"{name} within {100 * (MOST - 1):.0f} % of Dot", values, most=MOST, form=overhead)

    apart = [row for row in rows if row["scheme"] == "rotate_then_attend"]
    part.add(
        "`coca::rotate` on q and k into copies, then `Dot`, against `Rotary`, which rotates what it loads (time "
        "over its "
        "time; target: above 1):"
    )
    part.add(
        pivot(apart, ["threads", "dim", "mask"], "length", lambda row: mark(f"{row['ratio']:.3f}", row["ratio"] > 1.0))
    )
    part.judge(
        "rotating the tensors first loses to Rotary",
        [(row["ratio"], row.where()) for row in apart],
        least=1.0,
        form="{:.3f}".format,
    )
    return part
