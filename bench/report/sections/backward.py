"""Training: gradients and whole steps, in percent of the peak, and beside PyTorch's."""

from results import Results, Row
from sections.peers import refusals, summary, value, where
from text import Section, Verdict, geometric_mean, mark, not_measured, percent, pivot

TARGET = 75
LEAST_LENGTH = 2048  # from here on the target holds
PEER_TARGET = 1.2
SCHEMES = {"dot": "Dot", "rotary": "Rotary", "slack": "CocaSlack of x", "strict": "CocaStrict of x"}
WORK = {"backward": "gradients", "step": "whole step"}


def judged(row: Row) -> bool:
    return row["work"] == "backward" and row["scheme"] == "dot" and row["length"] >= LEAST_LENGTH


def cell(row: Row) -> str:
    text = f"{percent(row['percent'])} ({row['percent_high']:.0f})"
    return mark(text, not judged(row) or row["percent"] >= TARGET)


def shown(row: Row, key: str):
    return {"scheme": SCHEMES, "work": WORK}.get(key, {}).get(row[key], row[key])


def section(results: Results, plots) -> Section:
    rows = results.rows("backward")
    if not rows:
        return not_measured("Training", "backward")
    part = Section("Training")
    part.add(
        "`attention_backward` in float, and a whole step: attention with its log-sum-exp, and the gradients. Counted are "
        "five products for gradients, 10 N^2 d operations a head (half under a causal mask), and seven for a step. "
        f"Target: {TARGET} % of the peak for the gradients of `Dot` from length {LEAST_LENGTH} on. In brackets the "
        "highest decile of the calls."
    )
    part.add(pivot(rows, ["work", "scheme", "threads", "dim", "mask", "group"], "length", cell, shown))
    part.judge(
        f"gradients at least {TARGET} % of the FMA peak",
        [(row["percent"], row.where()) for row in rows if judged(row)],
        least=TARGET,
        form=percent,
    )

    peers = results.peer_rows("backward")
    for task, name in WORK.items():
        of_task = [row for row in peers if row["point"]["task"] == task]
        ratios = [row["ratio"] for row in of_task if "ratio" in row]
        if not ratios:
            continue
        part.add(
            f"The time of PyTorch's over ours, {name} (its scaled_dot_product_attention by autograd; results checked). "
            f"Target: at least {PEER_TARGET:g} in the geometric mean."
        )
        part.add(summary(of_task, mean=PEER_TARGET))
        times = lambda row: mark(f"{row['ratio']:.2f}", row["ratio"] >= 1.0)  # noqa: E731
        compared = [row for row in of_task if "ratio" in row]
        part.add(pivot(compared, ["threads", "dim", "mask", "group"], "length", times, value))
        part.judge(f"{name}: faster than PyTorch at every point", [(row["ratio"], where(row)) for row in compared], least=1.0)
        average = geometric_mean(ratios)
        part.verdicts.append(
            Verdict(
                f"{name}: geometric mean to PyTorch at least {PEER_TARGET:g}", f"{average:.2f}", average >= PEER_TARGET
            )
        )
    if reasons := refusals(peers):
        part.add(reasons)
    return part
