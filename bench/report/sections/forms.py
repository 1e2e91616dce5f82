"""Memory and time of the forms as the sequence grows."""

from matplotlib.ticker import FuncFormatter, LogLocator
from plots import length_axis
from results import Results, Row
from text import Section, image, mark, not_measured, pivot

FORMS = {
    "strict_by_definition": "strict by definition, O(N² d)",
    "standard_in_plain_steps": "standard in plain steps, O(N²)",
    "strict": "CocaStrict",
    "slack": "CocaSlack",
    "standard": "Dot",
}
OURS = ("strict", "slack", "standard")
MOST_BYTES = 4 << 20


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1024
    raise AssertionError


def time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def draw(rows: list[Row], plots) -> None:
    lengths = sorted({row["length"] for row in rows})
    for what, label, value in (
        ("memory", "work memory", lambda row: row["bytes"]),
        ("time", "time, seconds", lambda row: row.seconds),
    ):
        with plots.figure(f"forms_{what}", width=5.5, height=4) as (axis,):
            for i, (form, name) in enumerate(FORMS.items()):
                mine = sorted((row for row in rows if row["form"] == form), key=lambda row: row["length"])
                run = [row for row in mine if row["run"]]
                style = {"color": f"C{i}", "ls": ("-", "-", "-", "--", ":")[i]}
                if what == "memory":
                    axis.plot([row["length"] for row in mine], list(map(value, mine)), lw=1, **style)
                    # Hollow where it was too much to be run.
                    rest = [row for row in mine if not row["run"]]
                    axis.plot(
                        [row["length"] for row in rest], list(map(value, rest)), "o", ms=4, mfc="none", color=f"C{i}"
                    )
                axis.plot([row["length"] for row in run], list(map(value, run)), marker="o", ms=4, label=name, **style)
            length_axis(axis, lengths[::2])
            axis.set_yscale("log")
            if what == "memory":
                axis.axhline(MOST_BYTES, color="0.3", lw=0.8, ls=":")
                axis.set_yscale("log", base=2)
                axis.yaxis.set_major_locator(LogLocator(base=8))
                axis.yaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count)))
            axis.set_ylabel(label)
            axis.legend(fontsize=8)


def section(results: Results, plots) -> Section:
    rows = results.rows("forms")
    if not rows:
        return not_measured("Memory and time of the forms", "forms")
    part = Section("Memory and time of the forms")
    part.add(
        f"One head of {rows[0]['dim']}, no mask, one thread, float. *Strict by definition* holds a key R_n(q_m ∘ "
        "t_n) for every "
        "query and key, *in plain steps* all scores at once: both in Eigen, compiled with -march=native. Bytes are of "
        "intermediate results beside the tensors themselves, for the library those of `coca::workspace_bytes`. "
        "Hollow points "
        "are computed but were too large to run. Where both ran, strict by definition and factored differ by at most "
        f"{max((row['difference'] for row in rows if 'difference' in row.counters), default=float('nan')):.1e}. "
        f"Target: the library's memory does not grow with N and is at most {size(MOST_BYTES)} a thread."
    )
    draw(rows, plots)
    part.add(image("forms_memory", "work memory against length"), image("forms_time", "time against length"))
    cell = lambda row: mark(size(row["bytes"]), row["form"] not in OURS or row["bytes"] <= MOST_BYTES)  # noqa: E731
    part.add("Work memory:", pivot(rows, ["length"], "form", cell, titles=FORMS))
    part.add(
        "Time of a call:",
        pivot(rows, ["length"], "form", lambda row: time(row.seconds) if row["run"] else "not run", titles=FORMS),
    )
    ours = [row for row in rows if row["form"] in OURS]
    part.judge(
        f"work memory at most {size(MOST_BYTES)} a thread",
        [(row["bytes"], row.where()) for row in ours],
        most=MOST_BYTES,
        form=size,
    )
    longest = max(row["length"] for row in ours)
    growth = [
        (last["bytes"] / before["bytes"], f"{last['form']}, length {longest // 2} to {longest}")
        for last in ours if last["length"] == longest
        for before in ours if before["form"] == last["form"] and before["length"] == longest // 2
    ]  # fmt: skip
    part.judge("work memory constant in N (the last doubling of N)", growth, most=1.0, form="x {:.2f}".format)
    return part
