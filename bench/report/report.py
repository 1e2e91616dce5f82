#!/usr/bin/env python3
"""Writes docs/performance.md and its plots, and the figures of docs/how_fast_and_why.md, from what was measured:
nobody types a number.

    build/peers-venv/bin/python bench/report/report.py RESULTS DOCS

RESULTS is the folder of scripts/bench.sh's JSON files, DOCS the one to write to. What is missing is
said to be missing.
"""

import pathlib
import sys

from plots import Plots
from results import Results
from sections import (
    backward,
    compile,
    conditions,
    decode,
    forms,
    instruction_sets,
    machine,
    patterns,
    peers,
    prefill,
    ragged,
    schemes,
    short,
    threads,
    types,
)
from text import Verdict, table

QUESTIONS = [
    prefill, backward, decode, peers, short, schemes, patterns, forms, types, threads, ragged, instruction_sets,
    compile,
]  # fmt: skip

INTRODUCTION = """# Performance

Written by `scripts/bench.sh` from its measurements; do not edit. Each target of the project stands beside what was
measured, also where it was missed."""


# What docs/how_fast_and_why.md repeats: of these questions, all but comparisons point by point.
EXPLAINED = [prefill, decode, peers, schemes]
FIGURES_BEGIN = "<!-- figures: written by scripts/bench.sh -->"
FIGURES_END = "<!-- end of figures -->"


def replace_figures(page: pathlib.Path, figures: str) -> None:
    before, _, rest = page.read_text().partition(FIGURES_BEGIN)
    _, mark, after = rest.partition(FIGURES_END)
    if not mark:
        sys.exit(f"report.py: no place for figures in {page}")
    page.write_text(f"{before}{FIGURES_BEGIN}\n\n{figures}\n\n{mark}{after}")


def verdict_line(verdict: Verdict) -> list[str]:
    return [verdict.target, verdict.measured, {True: "met", False: "**missed**", None: "-"}[verdict.met]]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results, docs = Results(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])
    plots = Plots(docs / "plots")
    sections = {module: module.section(results, plots) for module in (*QUESTIONS, machine, conditions)}
    parts = sections.values()
    verdicts = [verdict for part in parts for verdict in part.verdicts]
    heads = ["target", "measured (points that meet it; the worst)", ""]
    summary = table(heads, map(verdict_line, verdicts))
    page = "\n\n".join([INTRODUCTION, summary, *(part.text() for part in parts)])
    (docs / "performance.md").write_text(page + "\n")
    explained = (verdict for module in EXPLAINED for verdict in sections[module].verdicts)
    figures = table(heads, (verdict_line(v) for v in explained if "at every point" not in v.target))
    replace_figures(docs / "how_fast_and_why.md", figures)
    met = sum(verdict.met is True for verdict in verdicts)
    print(
        f"{docs / 'performance.md'}: {met} targets met, {sum(verdict.met is False for verdict in verdicts)} missed, "
        f"{sum(verdict.met is None for verdict in verdicts)} not judged"
    )


if __name__ == "__main__":
    main()
