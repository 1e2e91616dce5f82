"""What the library costs a compiler."""

from results import Results
from text import Section, not_measured, table

CALLS = {
    "attention": "one call of `attention`",
    "further": "each further scheme and mask",
    "decode": "one call of `decode`",
    "backward": "one call of `attention_backward`",
    "kernels": "the compiled kernels, once",
}
# In E, by mode.
MOST = {
    ("attention", "header-only"): 2.5,
    ("attention", "compiled"): 1.5,
    ("further", "header-only"): 0.3,
    ("further", "compiled"): 0.3,
}


def section(results: Results, plots) -> Section:
    program = results.program("compile")
    if not program:
        return not_measured("Compile time", "compile")
    part = Section("Compile time")
    part.add(
        "Processor time for a file with one call on float tensors, Dot and Causal, at -O2 with the hot loops of all "
        "instruction sets; and for each further combination of scheme and mask in such a file. In seconds, and in E, "
        "the time of a file that only includes `Eigen/Dense` and Eigen's Tensor and declares one tensor function: E "
        "holds on any machine. Compiled mode links the library's kernels, which are compiled once."
    )
    rows = program["rows"]
    cells = {(row["compiler"], row["call"], row["mode"]): row for row in rows}
    compilers = list(dict.fromkeys(row["compiler"] for row in rows))

    def cell(compiler: str, call: str, mode: str) -> str:
        row = cells.get((compiler, call, mode))
        if row is None:
            return ""
        text = f"{row['seconds']:.1f} s, {row['e']:.1f} E"
        return text if row["e"] <= MOST.get((call, mode), row["e"]) else f"**{text}** missed"

    for compiler in compilers:
        unit = cells[(compiler, "eigen", "")]["seconds"]
        part.add(f"{program['context']['compilers'].get(compiler, compiler)}, E = {unit:.1f} s:")
        part.add(
            table(
                ["", "header-only", "compiled"],
                ([text, *(cell(compiler, call, mode) for mode in ("header-only", "compiled"))]
                 for call, text in CALLS.items()),
            )  # fmt: skip
        )
    for (call, mode), most in MOST.items():
        part.judge(
            f"{CALLS[call]}, {mode}, compiles in at most {most:g} E",
            [(row["e"], row["compiler"]) for row in rows if (row["call"], row["mode"]) == (call, mode)],
            most=most,
            form="{:.2f} E".format,
        )
    return part
