"""Short sequences and odd widths."""

from plots import length_axis, ratio_axis
from results import Results
from sections.peers import summary, value, where
from text import Section, image, mark, not_measured, pivot

PEER_TARGET = 0.9


def draw(ours: list, peers: list[dict], plots) -> None:
    """Every point, over the length: PyTorch, and the plain steps of Eigen."""
    with plots.figure("short") as (axis,):
        threads = sorted({row["threads"] for row in peers})
        for i, count in enumerate(threads):
            points = [
                (value(row, "length"), row["ratio"]) for row in peers if row["threads"] == count and "ratio" in row
            ]
            axis.plot(*zip(*points), "o", ms=3.5, alpha=0.5, color=f"C{i}", label=f"PyTorch, {count} thr.")
        if ours:
            points = [(row["length"], row["ratio"]) for row in ours]
            axis.plot(*zip(*points), "x", ms=4, alpha=0.6, color="0.4", label="plain steps of Eigen, 1 thr.")
        lengths = {row["length"] for row in ours} | {value(row, "length") for row in peers}
        length_axis(axis, lengths)
        axis.set_yscale("log")
        ratio_axis(axis.yaxis)
        axis.axhline(1.0, color="0.3", lw=1)
        axis.axhline(PEER_TARGET, color="0.3", lw=0.8, ls=":")
        axis.set_ylabel("time of the other over ours")
        axis.legend(fontsize=8)


def section(results: Results, plots) -> Section:
    ours = results.rows("short")
    peers = [row for row in results.peer_rows("short") if "ratio" in row]
    if not ours and not peers:
        return not_measured("Short and odd shapes", "short,peers")
    part = Section("Short and odd shapes")
    part.add(
        f"Eight heads, the time of the other over ours. Target: at least {PEER_TARGET:g} of PyTorch's speed "
        "everywhere, and no "
        "slower than attention in plain steps of Eigen (compiled with -march=native; one thread)."
    )
    draw(ours, peers, plots)
    part.add(image("short", "ratios at short lengths"))
    if peers:
        part.add(summary(peers, least=PEER_TARGET))
        one = [
            row for row in peers if row["threads"] == min(row["threads"] for row in peers) and row["peer"] == "pytorch"
        ]
        part.add("PyTorch, one thread:")
        part.add(
            pivot(
                one,
                ["dim", "mask"],
                "length",
                lambda row: mark(f"{row['ratio']:.2f}", row["ratio"] >= PEER_TARGET),
                value,
            )
        )
    part.judge(
        f"short and odd shapes: at least {PEER_TARGET:g} of PyTorch's speed",
        [(row["ratio"], where(row)) for row in peers if row["peer"] == "pytorch"], least=PEER_TARGET,
    )  # fmt: skip
    if ours:
        part.add("Plain steps of Eigen:")
        part.add(pivot(ours, ["dim", "mask"], "length", lambda row: mark(f"{row['ratio']:.2f}", row["ratio"] >= 1.0)))
    part.judge(
        "short and odd shapes: never slower than plain steps of Eigen",
        [(row["ratio"], row.where()) for row in ours],
        least=1.0,
    )
    return part
