"""A step of generation: against reading memory, against RoPE, as the context grows, and beside others."""

from plots import length_axis, ratio_axis
from results import Results, Row
from sections.peers import refusals, summary, value
from text import Section, image, length_text, mark, not_measured, percent, pivot

TITLE = "Decode"
BANDWIDTH_TARGET = 90
RATIO_TARGET = 0.80
PEER_TARGET = 1.5
LAST_LEVEL_CACHE = 32 * 2**20  # where the processor does not say
SCHEMES = {"dot": "Dot", "rotary": "Rotary", "strict": "CocaStrict", "slack": "CocaSlack"}
PEERS = {"pytorch": "PyTorch", "onnx_runtime": "ONNX Runtime"}
GIB = 2**30


def last_level_bytes(results: Results) -> float:
    """As lscpu writes it: "32 MiB (1 instance)"."""
    words = results.system().get("processor", {}).get("L3 cache", "").split()
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    return float(words[0]) * units[words[1]] if len(words) > 1 and words[1] in units else LAST_LEVEL_CACHE


def where(row: Row) -> str:
    return f"{SCHEMES[row['scheme']]}, {row['type']}, batch {row['batch']}, {row.where()}"


def by_length(rows: list[Row], left: list[str], cell) -> str:
    titles = {length: length_text(length) for length in sorted({row["length"] for row in rows})}
    shown = lambda row, key: SCHEMES[row["scheme"]] if key == "scheme" else row[key]  # noqa: E731
    return pivot(rows, left, "length", cell, shown, titles)


def draw_length(rows: list[Row], plots) -> None:
    """On the most threads, one sequence."""
    threads = max(row["threads"] for row in rows)
    types = list(dict.fromkeys(row["type"] for row in rows))
    with plots.figure("decode", columns=len(types), width=9) as axes:
        for axis, kind in zip(axes, types):
            for i, (scheme, name) in enumerate(SCHEMES.items()):
                line = sorted(
                    (row["length"], row["percent"], row["percent_low"], row["percent_high"])
                    for row in rows
                    if (row["threads"], row["batch"], row["type"], row["scheme"]) == (threads, 1, kind, scheme)
                )
                if not line:
                    continue
                length, middle, low, high = zip(*line)
                axis.plot(length, middle, marker="o", ms=3, color=f"C{i}", label=name)
                axis.fill_between(length, low, high, color=f"C{i}", alpha=0.12, lw=0)
            axis.axhline(BANDWIDTH_TARGET, color="0.4", lw=0.8, ls=":")
            axis.axhline(100, color="0.4", lw=0.8)
            length_axis(axis, {row["length"] for row in rows})
            axis.set_title(f"{kind}, {threads} thread{'s' if threads > 1 else ''}")
        axes[0].set_ylim(bottom=0)
        axes[0].set_ylabel("% of read bandwidth")
        axes[-1].legend(loc="lower right", fontsize=8)


def draw_context(rows: list[Row], plots, name: str, title: str) -> None:
    """Time and bytes a second against the context: a line for each scheme and type."""
    with plots.figure(name, columns=2, width=8, sharey=False) as (times, rates):
        lines: dict[tuple, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row["length"]):
            lines.setdefault((row["scheme"], row["type"]), []).append(row)
        types = list(dict.fromkeys(row["type"] for row in rows))
        for (scheme, kind), line in lines.items():
            look = {"color": f"C{types.index(kind)}", "marker": "o", "ms": 3,
                    "ls": "--" if scheme == "rotary" else "-", "label": f"{SCHEMES[scheme]}, {kind}"}  # fmt: skip
            length = [row["length"] for row in line]
            times.plot(length, [1e3 * row.seconds for row in line], **look)
            rates.plot(length, [1e-9 * row["rate"] for row in line], **look)
        for axis in (times, rates):
            length_axis(axis, {row["length"] for row in rows})
            axis.set_xlabel("tokens in the cache")
        times.set_yscale("log")
        ratio_axis(times.yaxis)
        times.set_ylabel("ms a token")
        rates.set_ylim(bottom=0)
        rates.set_ylabel("GB/s")
        times.set_title(title)
        times.legend(fontsize=8)


def add_bandwidth(part: Section, rows: list[Row], results: Results, plots) -> None:
    large = last_level_bytes(results)
    judged = lambda row: row["bytes"] > large  # noqa: E731
    part.add(
        "The bytes of all keys and values of the cache over the time of a step, in percent of what the same threads "
        "read in that time by themselves, in probes just before and after it. "
        f"Target: {BANDWIDTH_TARGET} % for caches beyond the last-level cache of {large / 2**20:.0f} MiB; smaller ones, "
        "in brackets, may stay in it from one step to the next and then pass 100 %."
    )
    for threads in sorted({row["threads"] for row in rows}):
        probes = sorted(1e-9 * row["peak"] for row in rows if row["threads"] == threads)
        part.add(
            f"Those probes gave {probes[0]:.0f} to {probes[-1]:.0f} GB/s on {threads} thread{'s' if threads > 1 else ''}, "
            f"{probes[len(probes) // 2]:.0f} in the middle: memory is shared with whoever else the host of a virtual machine "
            "has, and a percentage is of what there was at the time."
        )
    draw_length(rows, plots)
    part.add(image("decode", "percent of the read bandwidth against length"))

    def cell(row: Row) -> str:
        text = percent(row["percent"])
        return mark(text, row["percent"] >= BANDWIDTH_TARGET) if judged(row) else f"({text})"

    part.add(by_length(rows, ["threads", "type", "batch", "scheme"], cell))
    beyond = [row for row in rows if judged(row)]
    if beyond:
        highest = max(beyond, key=lambda row: row["percent"])
        part.add(f"The highest of those beyond the cache: {percent(highest['percent'])} ({where(highest)}).")
    for scheme in dict.fromkeys(row["scheme"] for row in rows):
        part.judge(
            f"decode, {SCHEMES[scheme]}: at least {BANDWIDTH_TARGET} % of the read bandwidth",
            [(row["percent"], where(row)) for row in beyond if row["scheme"] == scheme],
            least=BANDWIDTH_TARGET,
            form=percent,
        )


def add_ratios(part: Section, rows: list[Row], results: Results) -> None:
    part.add(
        f"CoCA against RoPE: its time over that of `Rotary`, in turns (target: at most {RATIO_TARGET:.2f}). A token of "
        "CoCA takes three quarters of the memory."
    )
    part.add(
        by_length(
            rows,
            ["threads", "type", "batch", "scheme"],
            lambda row: mark(f"{row['ratio']:.2f}", row["ratio"] <= RATIO_TARGET),
        )
    )
    for scheme in dict.fromkeys(row["scheme"] for row in rows):
        part.judge(
            f"decode: {SCHEMES[scheme]} in at most {RATIO_TARGET:.2f} of the time of Rotary",
            [(row["ratio"], where(row)) for row in rows if row["scheme"] == scheme],
            most=RATIO_TARGET,
        )


def add_context(part: Section, steps: list[Row], long: list[Row], plots) -> None:
    threads = max(row["threads"] for row in steps)
    one = [row for row in steps if (row["batch"], row["threads"]) == (1, threads)]
    one = [row for row in one if row["scheme"] in ("rotary", "slack")]
    draw_context(one, plots, "decode_context", "one layer")
    part.add(
        f"Time of a step as the context grows: one layer, batch 1, {threads} thread{'s' if threads > 1 else ''}.",
        image("decode_context", "time of a step and bytes a second against the context"),
        by_length(one, ["type", "scheme"], lambda row: f"{1e3 * row.seconds:.3g} ms, {1e-9 * row['rate']:.1f} GB/s"),
    )
    if not long:
        return
    layers, most = long[0]["layers"], max(row["length"] for row in long)
    draw_context(long, plots, "decode_million", f"{layers} layers")
    part.add(
        f"A very long context: {most:,} tokens in {long[0]['type']}, for as many layers of `Rotary` as this machine "
        f"holds with 4 GiB left free, {layers} ({max(row['bytes'] for row in long) / GIB:.1f} GiB), and as many of "
        f"`CocaSlack`; {long[0]['threads']} threads, time of a token through all layers.",
        image("decode_million", "time of a token and bytes a second up to a million tokens"),
        by_length(
            long,
            ["scheme"],
            lambda row: f"{1e3 * row.seconds:.0f} ms, {row['bytes'] / GIB:.1f} GiB at {1e-9 * row['rate']:.1f} GB/s, "
            f"{percent(row['percent'])}",
        ),
    )


def add_peers(part: Section, rows: list[dict]) -> None:
    part.add(
        "Beside other libraries: their time over ours, `Rotary` over a `PagedCache`, which turns keys as it reads them; "
        "theirs are rotated beforehand and lie in one piece, each in its best layout. ONNX Runtime adds the last token "
        f"in the call. Results are checked. Target: at least {PEER_TARGET:g} at every length."
    )
    part.add(summary(rows, least=PEER_TARGET, where=peer_where))
    measured = [row for row in rows if "ratio" in row]
    if measured:
        cell = lambda row: mark(f"{row['ratio']:.2f}", row["ratio"] >= PEER_TARGET)  # noqa: E731
        titles = {length: length_text(length) for length in sorted({value(row, "length") for row in measured})}
        named = lambda row, key: PEERS.get(row["peer"], row["peer"]) if key == "peer" else value(row, key)  # noqa: E731
        part.add(pivot(measured, ["peer", "threads", "dtype", "batch"], "length", cell, named, titles))
    for peer, name in PEERS.items():
        part.judge(
            f"decode: at least {PEER_TARGET:g} times {name} at every point",
            [(row["ratio"], peer_where(row)) for row in measured if row["peer"] == peer],
            least=PEER_TARGET,
        )
    if reasons := refusals(rows):
        part.add(reasons)


def peer_where(row: dict) -> str:
    return f"{value(row, 'dtype')}, batch {value(row, 'batch')}, length {length_text(value(row, 'length'))}"


def section(results: Results, plots) -> Section:
    rows, peers = results.rows("decode"), results.peer_rows("decode")
    of_kind = lambda kind: [row for row in rows if row["kind"] == kind]  # noqa: E731
    if not rows and not peers:
        return not_measured(TITLE, "decode")
    part = Section(TITLE)
    part.add("One query a sequence, 32 query heads, 8 key heads, head_dim 128, keys and values in a `PagedCache`.")
    if steps := of_kind("decode"):
        add_bandwidth(part, steps, results, plots)
    if ratios := of_kind("ratio"):
        add_ratios(part, ratios, results)
    if steps:
        add_context(part, steps, of_kind("context"), plots)
    if peers:
        add_peers(part, peers)
    return part
