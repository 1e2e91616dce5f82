#!/usr/bin/env python3
"""How long the commands of a checkout take in a fresh clone of it, into the JSON file OUT.

    bench/compile/commands.py [--checkout DIR] [--only NAMES] [--eigen DIR] [--work DIR] OUT

Clones the commit that DIR (this checkout unless given) is at, and runs there what a newcomer and CI run:
test (scripts/test.sh), demo (scripts/demo.sh) and ci (.ci/run), each in a clone of its own. Writes wall and processor
seconds, of the command and all that it starts, also in E of g++ (costs.py), measured before and after. Have the
packages installed before. The clones and what the commands print (NAME.log) are in the folder --work, a new one in
the system's folder for temporary files unless given.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

from costs import HERE, context, cost, eigen_seconds

COMMANDS = {"test": ["scripts/test.sh"], "demo": ["scripts/demo.sh"], "ci": [".ci/run"]}


def measure(name: str, arguments: argparse.Namespace, work: pathlib.Path) -> dict:
    commit = subprocess.run(
        ["git", "-C", str(arguments.checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    clone = work / name
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(arguments.checkout), str(clone)], check=True)
    subprocess.run(["git", "-C", str(clone), "checkout", "--quiet", "--detach", commit], check=True)
    before = eigen_seconds("g++", arguments.eigen)
    with (work / f"{name}.log").open("w") as log:
        spent = cost(COMMANDS[name], log, cwd=clone, stdin=subprocess.DEVNULL)
    unit = min(before, eigen_seconds("g++", arguments.eigen))
    row = {
        "command": " ".join(COMMANDS[name]), "commit": commit, "exit code": spent.code, "unit": unit,
        "wall": spent.wall, "wall e": spent.wall / unit, "cpu": spent.cpu, "cpu e": spent.cpu / unit,
    }  # fmt: skip
    print(
        f"{row['command']}: {spent.wall:.0f} s ({row['wall e']:.0f} E), {spent.cpu:.0f} CPU seconds "
        f"({row['cpu e']:.0f} E), exit code {spent.code}; {work / name}.log",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=pathlib.Path, default=HERE.parents[1])
    parser.add_argument("--only", default=",".join(COMMANDS), help="names, separated by commas")
    parser.add_argument("--eigen", default="/usr/include/eigen3")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    work = arguments.work or pathlib.Path(tempfile.mkdtemp(prefix="coca-commands-"))
    work.mkdir(parents=True, exist_ok=True)
    rows = [measure(name, arguments, work) for name in arguments.only.split(",")]
    result = {"context": context(arguments.checkout), "commands": rows}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
