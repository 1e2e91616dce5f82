#!/usr/bin/env python3
"""How long compilers take for a file with one call of attention, into the JSON file OUT.

    build/peers-venv/bin/python bench/compile/measure.py EIGEN OUT

EIGEN is the folder of Eigen's headers. Seconds are those of the processor, the least of three runs.
"""

import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "peers"))
from machine import context  # noqa: E402

ROUNDS = 3


def seconds(*command: str) -> float:
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    subprocess.run(command, check=True)
    return used() - before


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    eigen, out = sys.argv[1:]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for compiler in filter(shutil.which, ("g++", "clang++")):
            for header in ("coca.hpp", "extern.hpp"):
                command = [
                    compiler, "-std=c++20", "-O2", f"-I{SOURCE / 'include'}", f"-I{eigen}",
                    f"-DHEADER=<coca/{header}>", "-c", str(HERE / "one_call.cpp"), "-o", f"{folder}/one_call.o",
                ]  # fmt: skip
                least = min(seconds(*command) for _ in range(ROUNDS))
                print(f"{compiler}, {header}: {least:.1f} s")
                rows.append({"compiler": compiler, "header": header, "seconds": least})
    pathlib.Path(out).write_text(json.dumps({"context": context(SOURCE), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
