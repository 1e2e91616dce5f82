"""How fast is prefill, in percent of the peak."""

from plots import length_axis
from results import Results, Row
from text import Section, image, mark, not_measured, percent, pivot

TARGET = {64: 75, 128: 85, 256: 85}
LEAST_LENGTH = {64: 512, 128: 2048, 256: 2048}  # from here on the target holds


def disturbed(row: Row) -> bool:
    """Whether the probes of the peak, short beside a long call, met a slow moment of the machine."""
    return row["percent"] > 100


def judged(row: Row) -> bool:
    return row["length"] >= LEAST_LENGTH[row["dim"]] and not disturbed(row)


def cell(row: Row) -> str:
    if disturbed(row):
        return "probe disturbed"
    text = f"{percent(row['percent'])} ({row['percent_high']:.0f})"
    return mark(text, not judged(row) or row["percent"] >= TARGET[row["dim"]])


def draw(rows: list[Row], plots) -> None:
    threads = sorted({row["threads"] for row in rows})
    group = sorted({row["group"] for row in rows})[len({row["group"] for row in rows}) // 2]
    with plots.figure("prefill", columns=len(threads), width=8) as axes:
        for axis, count in zip(axes, threads):
            for i, dim in enumerate(TARGET):
                for mask, style in (("full", "-"), ("causal", "--")):
                    line = sorted(
                        (row["length"], row["percent"], row["percent_low"], row["percent_high"])
                        for row in rows
                        if (row["threads"], row["dim"], row["mask"], row["group"]) == (count, dim, mask, group)
                        and not disturbed(row)
                    )
                    if not line:
                        continue
                    length, middle, low, high = zip(*line)
                    axis.plot(length, middle, style, marker="o", ms=3, color=f"C{i}", label=f"head_dim {dim}, {mask}")
                    axis.fill_between(length, low, high, color=f"C{i}", alpha=0.12, lw=0)
            for target in sorted(set(TARGET.values())):
                axis.axhline(target, color="0.4", lw=0.8, ls=":")
            length_axis(axis, {row["length"] for row in rows})
            axis.set_title(f"{count} thread{'s' if count > 1 else ''}, group {group}")
            axis.set_ylim(0, 105)
        axes[0].set_ylabel("% of FMA peak")
        axes[-1].legend(loc="lower right", fontsize=8)


def section(results: Results, plots) -> Section:
    rows = results.rows("prefill")
    if not rows:
        return not_measured("Prefill", "prefill")
    part = Section("Prefill")
    part.add(
        "`Dot` in float, as many queries as keys. Target: 85 % of the peak for head_dim 128 and 256 from length "
        "2048 on, "
        "75 % for head_dim 64. In brackets the highest decile of the calls. A call of seconds stands between two probes of "
        "the peak that take milliseconds: where those came out slower than the call itself, the row says so, and is not "
        "judged."
    )
    draw(rows, plots)
    for threads in sorted({row["threads"] for row in rows}):
        own = sorted(row["own"] for row in rows if row["threads"] == threads)
        part.add(
            f"Processors kept busy on {threads} thread{'s' if threads > 1 else ''}: {own[len(own) // 2]:.2f} "
            "(median of the rows)."
        )
    part.add(image("prefill", "percent of peak against length"))
    part.add(pivot(rows, ["threads", "dim", "mask", "group"], "length", cell))
    for dims, target in (((128, 256), 85), ((64,), 75)):
        values = [(row["percent"], row.where()) for row in rows if row["dim"] in dims and judged(row)]
        text = f"prefill, head_dim {' and '.join(map(str, dims))}: at least {target} % of the FMA peak"
        part.judge(text, values, least=target, form=percent)
    return part
