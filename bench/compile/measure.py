#!/usr/bin/env python3
"""How long compilers take for files that call the library, into the JSON file OUT.

    bench/compile/measure.py [--headers DIR] [--eigen DIR] [--rounds N] [--compilers NAMES] OUT

--headers is the include folder of the checkout to measure (this one unless given), --eigen that of Eigen. Times are
processor seconds, the least of N runs (3 unless given), and are given in E as well (costs.py), which is measured in
the same rounds. The compiled mode defines COCA_COMPILED; headers without coca/kernels.cpp had coca/extern.hpp instead.
"""

import argparse
import json
import pathlib
import shutil
import tempfile

from costs import HERE, compile_seconds, context, eigen_seconds

SOURCE = HERE.parents[1]
CALLS = ("attention", "five_calls", "decode", "backward")


def header(name: str) -> str:
    return f"-DHEADER=<coca/{name}>"


def modes(headers: pathlib.Path) -> dict[str, tuple[str, ...]]:
    """The arguments of each mode."""
    if (headers / "coca" / "kernels.cpp").exists():
        compiled = (header("coca.hpp"), "-DCOCA_COMPILED")
    else:
        compiled = (header("extern.hpp"),)
    return {"header-only": (header("coca.hpp"),), "compiled": compiled}


def kernels_source(headers: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The file that a program in compiled mode has once."""
    source = headers / "coca" / "kernels.cpp"
    if not source.exists():
        source = folder / "kernels.cpp"
        source.write_text("#define COCA_INSTANTIATE\n#include <coca/extern.hpp>\n")
    return source


def compiler_rows(compiler: str, arguments: argparse.Namespace) -> list[dict]:
    include = f"-I{arguments.headers}"
    units: list[float] = []
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        units.append(eigen_seconds(compiler, arguments.eigen))
        for mode, flags in modes(arguments.headers).items():
            for call in CALLS:
                source = HERE / f"{call}.cpp"
                seconds = compile_seconds(compiler, source, arguments.eigen, include, *flags)
                times.setdefault((call, mode), []).append(seconds)
    # It takes a minute and more, and users wait for it once.
    with tempfile.TemporaryDirectory() as folder:
        source = kernels_source(arguments.headers, pathlib.Path(folder))
        times[("kernels", "compiled")] = [compile_seconds(compiler, source, arguments.eigen, include)]
    unit = min(units)
    least = {what: min(seconds) for what, seconds in times.items()}
    for mode in modes(arguments.headers):
        # Four of the five calls, each.
        least[("further", mode)] = (least.pop(("five_calls", mode)) - least[("attention", mode)]) / 4
    rows = [{"compiler": compiler, "call": "eigen", "mode": "", "seconds": unit, "e": 1.0}]
    for (call, mode), seconds in least.items():
        rows.append({"compiler": compiler, "call": call, "mode": mode, "seconds": seconds, "e": seconds / unit})
    for row in rows:
        print(f"{row['compiler']}, {row['call']}, {row['mode']}: {row['seconds']:.1f} s, {row['e']:.2f} E", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headers", type=pathlib.Path, default=SOURCE / "include")
    parser.add_argument("--eigen", default="/usr/include/eigen3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compilers", default="g++,clang++", help="those of them that are installed")
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.headers = arguments.headers.resolve()
    rows = []
    for compiler in filter(shutil.which, arguments.compilers.split(",")):
        rows += compiler_rows(compiler, arguments)
    result = {"context": context(arguments.headers), "rows": rows}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
