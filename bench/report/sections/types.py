"""Other number types."""

from results import Results
from sections.peers import summary
from text import Section, Verdict, mark, not_measured, percent, pivot

HALF_TARGET = 0.99  # no slower, as far as one can measure
DOUBLE_TARGET = 80
BF16_TARGET = 1.7
BF16_DOT_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # in the words of lscpu


def section(results: Results, plots) -> Section:
    rows = results.rows("types")
    if not rows:
        return not_measured("Number types", "types")
    part = Section("Number types")
    part.add(
        f"The speed of a narrow type over that of float (time of float over its time). Targets: half no slower "
        "than float, within 1 %; "
        f"bfloat16 at least {BF16_TARGET:g} times as fast where the processor has dot instructions for it."
    )
    flags = results.system().get("processor", {}).get("Flags", "").split()
    dots = [flag for flag in BF16_DOT_FLAGS if flag in flags]
    least = {"half": HALF_TARGET, "bfloat16": BF16_TARGET if dots else 0.0}
    narrow = [row for row in rows if row["type"] in least]
    speed = lambda row: 1 / row["ratio"]  # noqa: E731
    part.add(
        pivot(
            narrow,
            ["type", "threads", "dim", "mask"],
            "length",
            lambda row: mark(f"{speed(row):.2f}", speed(row) >= least[row["type"]]),
        )
    )
    part.judge(
        "half no slower than float",
        [(speed(row), row.where()) for row in narrow if row["type"] == "half"],
        least=HALF_TARGET,
    )
    bf16 = [(speed(row), row.where()) for row in narrow if row["type"] == "bfloat16"]
    target = f"bfloat16 with dot instructions at least {BF16_TARGET:g} times float"
    if dots:
        part.judge(target, bf16, least=BF16_TARGET)
    else:
        lowest, highest = min(bf16)[0], max(bf16)[0]
        part.add(
            "This processor has no bfloat16 dot instructions: bfloat16 is computed in float, and its target does "
            "not apply."
        )
        part.verdicts.append(
            Verdict(target, f"not available on this processor; without them {lowest:.2f} to {highest:.2f}", None)
        )

    double = [row for row in rows if row["type"] == "double"]
    part.add(f"Double, in percent of the peak in double (target: {DOUBLE_TARGET} %; in brackets the highest decile):")
    cell = lambda row: mark(f"{percent(row['percent'])} ({row['percent_high']:.0f})", row["percent"] >= DOUBLE_TARGET)  # noqa: E731
    part.add(pivot(double, ["threads", "dim", "mask"], "length", cell))
    part.judge(
        f"double at least {DOUBLE_TARGET} % of its peak",
        [(row["percent"], row.where()) for row in double],
        least=DOUBLE_TARGET,
        form=percent,
    )

    if peers := results.peer_rows("types"):
        part.add("Other libraries in the same types:")
        part.add(*(f"{dtype}\n\n{summary(of_type)}" for dtype in dict.fromkeys(row["point"]["dtype"] for row in peers)
                   if (of_type := [row for row in peers if row["point"]["dtype"] == dtype])))  # fmt: skip
    return part
