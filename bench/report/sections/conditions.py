"""On what, with what and how."""

from results import Results
from text import Section, table

PROGRAMS = ("prefill", "schemes", "forms", "types", "threads", "short", "decode", "instruction_sets")
DISTURBED_CORES = 0.1


def versions(results: Results) -> list[tuple[str, str]]:
    """Of what is compared with, as installed."""
    rows = []
    for file in results.comparisons():
        for name, packages in file["installed"].items():
            what = packages.get("reason") or ", ".join(
                packages.get("options", [])[:1]
                + [f"{key} {value}" for key, value in packages.items() if key != "options"]
            )
            rows.append((name, what))
    return sorted(set(rows))


def measured(results: Results) -> str:
    """When each question was asked, and of what."""
    lines = []
    for path in sorted(results.folder.glob("*.json")):
        context = results.context(path.stem)
        if date := context.get("date"):
            commit = context.get("commit") or context.get("coca commit", "not recorded")
            lines.append([path.stem, date[:16].replace("T", " "), f"`{commit}`"])
    return table(["question", "measured at", "coca"], lines)


def section(results: Results, plots) -> Section:
    part = Section("Conditions")
    system = results.system()
    processor = system.get("processor", {})
    flags = processor.pop("Flags", "").split()
    wide = [flag for flag in flags if flag.startswith(("avx", "fma", "f16c", "amx"))]
    program = next(
        (context for name in ("prefill", "machine", "schemes", "types") if (context := results.context(name))), {}
    )
    kernels = results.context("instruction_sets")
    rows = [
        *processor.items(),
        ("vector instructions", ", ".join(wide)),
        ("memory", system.get("memory", "").removeprefix("MemTotal:").strip()),
        ("compiler", program.get("compiler", "")),
        ("flags", program.get("flags", "").strip()),
        ("instruction set in use", program.get("target", "")),
        (
            "flags of the two builds",
            " and ".join(filter(None, (kernels.get("plain flags"), kernels.get("native flags")))),
        ),
        ("run", {"yes": "quick: fewer shapes, less time for each", "no": "complete"}.get(program.get("quick"), "")),
        *versions(results),
    ]
    part.add(table(["", ""], ((name, value) for name, value in rows if value)))
    part.add(measured(results))
    part.add(
        "A percentage is taken against the multiply-adds that the same threads do, in registers alone, in probes of "
        "0.3 ms just before and after each timed call, or in decode against reads of 256 MiB; it is the median over the calls. A ratio comes from "
        "single calls "
        "in turns (A B, B A, ...) in one process, other libraries in processes of their own, and is the median of the "
        "rounds' ratios. Useful operations alone count: 4 N² d a head, half with a causal mask, nothing for "
        "exponentials. Inputs are random, of batch 1."
    )
    others = [row["others"] for name in PROGRAMS for row in results.rows(name) if "others" in row.counters]
    if others:
        disturbed = sum(value > DISTURBED_CORES for value in others)
        part.add(
            f"In {disturbed} of {len(others)} rows other programs, or the host of this virtual machine, kept more than "
            f"{DISTURBED_CORES:g} processors busy meanwhile, {max(others):.1f} in the worst."
        )
    return part
