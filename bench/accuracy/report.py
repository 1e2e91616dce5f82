#!/usr/bin/env python3
"""Writes docs/accuracy.md and its plot from what bench/accuracy/measure.py measured.

    build/accuracy-venv/bin/python bench/accuracy/report.py RESULTS DOCS
"""

import json
import math
import pathlib
import statistics
import sys

from plots import Plots, length_axis
from text import Section, image, length_text, table

MOST = 1.1
TYPES = {"float32": "float", "bfloat16": "bfloat16", "float16": "half"}
SCHEMES = {
    "dot": "`Dot`", "rotary": "`Rotary`", "strict_t": "`CocaStrict`, t", "strict_x": "`CocaStrict`, x",
    "slack_t": "`CocaSlack`, t", "slack_x": "`CocaSlack`, x",
    "constrained_t": "`CocaConstrained`, t", "constrained_x": "`CocaConstrained`, x",
}  # fmt: skip
PLOTTED = ["dot", "rotary", "strict_t", "slack_t"]

INTRODUCTION = """# Accuracy

Written by `scripts/accuracy.sh` from its measurements; do not edit.

How far results are from exact ones, and beside them those of PyTorch's `scaled_dot_product_attention` on the same
inputs. Target: the error is never more than {most:g} times PyTorch's.

- Inputs: normal numbers, rounded to the type; for t, what relu leaves of them. {heads} heads of head_dim {dim}, and as many
  seeds as the tables say. Every query sees all keys; the last {queries} of as many queries as there are keys are
  computed, fewer from 32K on.
- Exact: the definition in double, from the rounded inputs ([exact.py](../bench/accuracy/exact.py)).
- Error: |out - exact| over the largest |exact| of the head. *Root mean square*: over all elements of all heads and seeds.
  *Largest*: the mean over heads and seeds of the largest of each. One rounding of the result to its type is at most
  half a unit: 6.0e-8 in float, 2.0e-3 in bfloat16, 4.9e-4 in half.
- PyTorch: queries and keys are made in the type of the tensors, as models of Hugging Face rotate them, with angles in
  float ([pytorch.py](../bench/accuracy/pytorch.py)). Keys of strict CoCA are made for each query, as defined. The library
  takes q and k, or t, or x as they are."""


def errors(rows: list[dict], who: str) -> tuple[float, float]:
    """Root mean square, and the mean of the largest."""
    return (
        math.sqrt(statistics.fmean(row[who][0] ** 2 for row in rows)),
        statistics.fmean(row[who][1] for row in rows),
    )


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    files = [json.loads(path.read_text()) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))]
    if not files:
        sys.exit(f"report.py: nothing measured in {sys.argv[1]}")
    if len({(file["target"], file["pytorch"]) for file in files}) > 1:
        sys.exit("report.py: measured on different instruction sets, or beside different PyTorch; measure again")
    docs = pathlib.Path(sys.argv[2])
    rows = [row for file in files for row in file["rows"]]
    lengths = sorted({row["length"] for row in rows})
    points = {
        (scheme, name, length): {
            who: errors([row for row in rows if (row["scheme"], row["type"], row["length"]) == (scheme, name, length)], who)
            for who in ("coca", "pytorch")
        }
        for scheme in SCHEMES for name in TYPES for length in lengths
    }  # fmt: skip

    def seeds(length: int) -> int:
        return len({row["seed"] for row in rows if row["length"] == length})

    summary = Section("")
    parts = []
    for kind, title in enumerate(["Root mean square", "Largest"]):
        part = Section(title, ["Error of this library / of PyTorch, by length."])
        ratio = {point: both["coca"][kind] / both["pytorch"][kind] for point, both in points.items()}

        def cell(point) -> str:
            ours, theirs = (points[point][who][kind] for who in ("coca", "pytorch"))
            return f"{ours:.1e} / {theirs:.1e}" + (" **missed**" if ratio[point] > MOST else "")

        part.add(table(
            ["scheme", "type", *(f"{length_text(length)} ({seeds(length)} seeds)" for length in lengths)],
            ([SCHEMES[scheme], TYPES[name], *(cell((scheme, name, length)) for length in lengths)]
             for name in TYPES for scheme in SCHEMES),
        ))  # fmt: skip
        for name in TYPES:
            values = [
                (value, f"{SCHEMES[point[0]]}, length {length_text(point[2])}")
                for point, value in ratio.items() if point[1] == name
            ]  # fmt: skip
            summary.judge(f"{title.lower()}, {TYPES[name]}: at most {MOST:g} times PyTorch's", values, most=MOST)
        parts.append(part)

    with Plots(docs / "plots").figure("accuracy", columns=len(TYPES), width=9.5, height=3.8, sharey=False) as axes:
        for axis, (name, title) in zip(axes, TYPES.items()):
            axis.set_title(title)
            axis.set_yscale("log")
            for number, scheme in enumerate(PLOTTED):
                for who, style in (("coca", "-"), ("pytorch", "--")):
                    values = [points[scheme, name, length][who][0] for length in lengths]
                    label = SCHEMES[scheme].replace("`", "").partition(",")[0] if who == "coca" else None
                    axis.plot(lengths, values, style, color=f"C{number}", marker="o", markersize=3, label=label)
            length_axis(axis, lengths)
        axes[0].plot([], [], "--", color="grey", label="PyTorch")
        axes[0].set_ylabel("root mean square error")
        axes[0].legend(fontsize=8)

    about = files[0]
    introduction = INTRODUCTION.format(most=MOST, **about)
    verdicts = table(
        ["target", "measured (points that meet it; the worst)", ""],
        ([v.target, v.measured, "met" if v.met else "**missed**"] for v in summary.verdicts),
    )
    conditions = (
        f"{about['processor'].get('Model name', 'an unknown processor')}, instruction set `{about['target']}`; PyTorch "
        f"{about['pytorch']}; {about['compilers']['g++']}; {about['date'][:10]}."
    )
    plot = image("accuracy", "root mean square errors by length; dashed: PyTorch")
    page = [introduction, verdicts, plot, *(part.text() for part in parts), "## Measured on", conditions]
    (docs / "accuracy.md").write_text("\n\n".join(page) + "\n")


if __name__ == "__main__":
    main()
