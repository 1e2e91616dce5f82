#!/usr/bin/env python3
"""A Markdown table of what compiling and testing cost before a change and after it.

    bench/compile/table.py --before FILES --after FILES

FILES are what measure.py and commands.py wrote, in any number.
"""

import argparse
import json
import pathlib

CALLS = {
    "eigen": "Eigen alone (E)",
    "attention": "one call of `attention`",
    "further": "each further scheme and mask",
    "decode": "one call of `decode`",
    "backward": "one call of `attention_backward`",
    "kernels": "the compiled kernels, once",
}


def costs(files: list[pathlib.Path]) -> dict[str, tuple[float, float, str]]:
    """Of everything in some files: seconds, E, and whether it failed."""
    result = {}
    for file in files:
        content = json.loads(file.read_text())
        for row in content.get("rows", []):
            mode = "" if row["call"] == "kernels" else row["mode"]
            name = ", ".join(filter(None, (CALLS[row["call"]], mode, row["compiler"])))
            result[name] = (row["seconds"], row["e"], "")
        for row in content.get("commands", []):
            failed = " (failed)" if row["exit code"] else ""
            for kind in ("wall", "cpu"):
                result[f"`{row['command']}`, {kind}"] = (row[kind], row[f"{kind} e"], failed)
    return result


def cell(cost: tuple[float, float, str] | None) -> list[str]:
    if cost is None:
        return ["", ""]
    seconds, e, failed = cost
    return [f"{seconds:.{1 if seconds < 100 else 0}f}{failed}", f"{e:.2f}" if e < 100 else f"{e:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--after", type=pathlib.Path, nargs="+", required=True)
    arguments = parser.parse_args()
    before, after = costs(arguments.before), costs(arguments.after)
    print("| | before, s | before, E | after, s | after, E | after / before, in E |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in [*before, *(name for name in after if name not in before)]:
        was, now = before.get(name), after.get(name)
        share = f"{now[1] / was[1]:.2f}" if was and now and was[1] > 0 else ""
        print("| " + " | ".join([name, *cell(was), *cell(now), share]) + " |")


if __name__ == "__main__":
    main()
