"""Prefill beside other libraries."""

from collections.abc import Callable

from plots import ratio_axis
from results import Results
from text import Section, Verdict, geometric_mean, image, mark, not_measured, pivot, table

NAMES = {
    "pytorch": "PyTorch", "unfused_torch": "three plain steps, PyTorch", "unfused_numpy": "three plain steps, NumPy",
    "onnx_runtime": "ONNX Runtime", "open_vino": "OpenVINO", "jax_xla": "JAX", "ggml": "ggml",
}  # fmt: skip
MEAN_TARGET = 1.2
DISTURBED_CORES = 0.1  # as in compare.py


def value(row: dict, key: str):
    """Of a row of compare.py, by the names of our own rows."""
    if key == "mask":
        return "causal" if row["point"]["causal"] else "full"
    return row["point"][key] if key in row["point"] else row[key]


def where(row: dict) -> str:
    return ", ".join([
        value(row, "dtype"), value(row, "mask"), f"dim {value(row, 'dim')}", f"length {value(row, 'length')}",
        f"group {value(row, 'group')}", f"threads {row['threads']}",
    ])  # fmt: skip


def by_peer(rows: list[dict]) -> dict[tuple[str, int], list[dict]]:
    groups: dict[tuple[str, int], list[dict]] = {}
    order = list(NAMES)
    for row in sorted(rows, key=lambda row: (order.index(row["peer"]), row["threads"])):
        groups.setdefault((row["peer"], row["threads"]), []).append(row)
    return groups


def summary(rows: list[dict], least: float = 1.0, mean: float | None = None, where: Callable = where) -> str:
    """A line for each peer and number of threads."""
    lines = []
    for (peer, threads), group in by_peer(rows).items():
        ratios = [row["ratio"] for row in group if "ratio" in row]
        if not ratios:
            lines.append([NAMES.get(peer, peer), threads, 0, "", "", "", group[0]["reason"]])
            continue
        average, slowest = (
            geometric_mean(ratios),
            min((row for row in group if "ratio" in row), key=lambda row: row["ratio"]),
        )
        lines.append([
            NAMES.get(peer, peer), threads, len(ratios), mark(f"{average:.2f}", mean is None or average >= mean),
            mark(f"{slowest['ratio']:.2f}", slowest["ratio"] >= least),
            sum(ratio < least for ratio in ratios), where(slowest),
        ])  # fmt: skip
    return table(["peer", "threads", "points", "geometric mean", "lowest", f"below {least:g}", "where lowest"], lines)


def refusals(rows: list[dict]) -> str:
    """Why points are missing."""
    reasons: dict[str, int] = {}
    for row in rows:
        if "reason" in row:
            text = row["reason"]
            reasons[text] = reasons.get(text, 0) + 1
    return (
        "\n".join(["Not compared:", "", *(f"- {count} x {text}" for text, count in reasons.items())]) if reasons else ""
    )


def draw(name: str, rows: list[dict], plots, least: float = 1.0) -> None:
    groups = {key: group for key, group in by_peer(rows).items() if any("ratio" in row for row in group)}
    with plots.figure(name, width=7, height=0.8 + 0.32 * len(groups)) as (axis,):
        for place, group in enumerate(groups.values()):
            for mask, color, shift in (("causal", "C0", 0.12), ("full", "C1", -0.12)):
                ratios = [row["ratio"] for row in group if "ratio" in row and value(row, "mask") == mask]
                label = mask if place == 0 else None
                axis.plot(ratios, [-place + shift] * len(ratios), "o", ms=3.5, alpha=0.6, color=color, label=label)
        axis.axvline(least, color="0.3", lw=1)
        axis.set_yticks([-i for i in range(len(groups))], [f"{NAMES.get(p, p)}, {n} thr." for p, n in groups])
        axis.set_xscale("log")
        ratio_axis(axis.xaxis)
        axis.set_xlabel("time of the other over ours: to the right of the line, ours is faster")
        axis.legend(loc="upper right", fontsize=8)


def section(results: Results, plots) -> Section:
    rows = results.peer_rows("prefill")
    if not rows:
        return not_measured("Other libraries", "peers")
    part = Section("Other libraries")
    part.add(
        "The time of the other library over ours, `Dot` in float, each in its best layout, results checked "
        "([bench/peers/compare.py](../bench/peers/compare.py)). Target: faster than every one at every point, "
        "PyTorch and "
        f"the others at least {MEAN_TARGET:g} times in the geometric mean, and never slower than three plain steps."
    )
    draw("peers", rows, plots)
    part.add(image("peers", "ratios to other libraries"), summary(rows, mean=MEAN_TARGET))
    for peer in NAMES:
        mine = [row for row in rows if row["peer"] == peer and "ratio" in row]
        name = NAMES.get(peer, peer)
        part.judge(
            f"prefill: faster than {name} at every point", [(row["ratio"], where(row)) for row in mine], least=1.0
        )
        if mine and not peer.startswith("unfused"):
            average = geometric_mean([row["ratio"] for row in mine])
            part.verdicts.append(
                Verdict(
                    f"prefill: geometric mean to {name} at least {MEAN_TARGET:g}",
                    f"{average:.2f}",
                    average >= MEAN_TARGET,
                )
            )
    pytorch = [row for row in rows if row["peer"] == "pytorch" and "ratio" in row]
    if pytorch:
        part.add("PyTorch, point by point:")
        cell = lambda row: mark(f"{row['ratio']:.2f}", row["ratio"] >= 1.0)  # noqa: E731
        part.add(pivot(pytorch, ["threads", "dim", "mask", "group"], "length", cell, value))
    slower = [row for row in rows if row["peer"] != "pytorch" and row.get("ratio", 1.0) < 1.0]
    if slower:
        part.add("Where another is faster:")
        part.add(
            table(
                ["peer", "where", "ratio"],
                ([NAMES.get(row["peer"], row["peer"]), where(row), f"{row['ratio']:.2f}"] for row in slower),
            )
        )
    if reasons := refusals(rows):
        part.add(reasons)
    cores = int(results.system().get("processor", {}).get("CPU(s)", 0))
    disturbed = [row for row in rows if row.get("busy with others", 0.0) > cores - row["threads"] + DISTURBED_CORES]
    if disturbed:
        part.add(
            f"At {len(disturbed)} of {len(rows)} points others on the machine took the processor away, the worst by "
            f"{max(row['busy with others'] for row in disturbed):.1f} cores."
        )
    return part
