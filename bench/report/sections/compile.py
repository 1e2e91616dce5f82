"""What the library costs a compiler."""

from results import Results
from text import Section, mark, not_measured, table

MOST = 15.0


def section(results: Results, plots) -> Section:
    program = results.program("compile")
    if not program:
        return not_measured("Compile time", "compile")
    part = Section("Compile time")
    part.add(
        "Processor seconds for a file with one call of `attention`, at -O2 with the hot loops of all instruction sets. "
        f"Target: below {MOST:g}. With `coca/coca.hpp` the kernels are another file's."
    )
    rows = program["rows"]
    part.add(
        table(
            ["compiler", "header", "seconds"],
            (
                [
                    program["context"]["compilers"][row["compiler"]],
                    f"`coca/{row['header']}`",
                    mark(f"{row['seconds']:.1f}", row["seconds"] < MOST),
                ]
                for row in rows
            ),
        )
    )
    part.judge(
        f"a file with one call compiles in less than {MOST:g} s",
        [(row["seconds"], f"{row['compiler']}, {row['header']}") for row in rows],
        most=MOST,
        form="{:.1f} s".format,
    )
    return part
