#!/usr/bin/env python3
"""Writes the library as a single header, which needs nothing but Eigen.

    scripts/amalgamate.py [--header coca/coca.hpp] [FILE]    # else coca/coca.hpp, to the terminal

Headers are put where they are first included; .inc files, which have no include guard and mean
something else each time, wherever they are included. The single header has no compiled mode: what
COCA_COMPILED leaves out is always in it.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"


class SingleHeader:
    def __init__(self):
        self.lines = []
        self.headers = set()
        self.conditions = 0  # how many #if are open

    def add(self, name, by):
        path = INCLUDE / name
        if not path.is_file():
            sys.exit(f"amalgamate.py: {by} includes {name}, which is not below include/")
        guarded = path.suffix != ".inc"
        if guarded and self.conditions > 0:
            sys.exit(f"amalgamate.py: {by} includes {name} within #if, where others would miss it")
        if guarded and not self.is_first(name):
            return
        self.lines += ["", f"// {name}"]
        text = path.read_text(encoding="utf-8")
        text = re.sub(r'#ifndef COCA_COMPILED\n(#include ".+-inl.hpp"\n)#endif\n', r"\1", text)
        for line in text.splitlines():
            self.add_line(line, name)

    def add_line(self, line, name):
        if own := re.match(r'#include "(.+)"', line):
            self.add(own[1], name)
            return
        if line == "#pragma once":
            return
        if system := re.match(r"#include <.+>", line):
            if self.conditions == 0 and not self.is_first(system[0]):
                return
        elif re.match(r"#if", line):
            self.conditions += 1
        elif re.match(r"#endif", line):
            self.conditions -= 1
        self.lines.append(line)

    def is_first(self, header):
        first = header not in self.headers
        self.headers.add(header)
        return first


def version():
    text = (INCLUDE / "coca/core/version.hpp").read_text(encoding="utf-8")
    return ".".join(re.findall(r"#define COCA_VERSION_[A-Z]+ (\d+)", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--header", default="coca/coca.hpp", help="below include/")
    parser.add_argument("file", nargs="?", type=pathlib.Path)
    arguments = parser.parse_args()

    single = SingleHeader()
    single.add(arguments.header, "the command line")
    head = [f"// {arguments.header} of coca {version()} and all it includes, made by amalgamate.py",
            "// SPDX-License-Identifier: Apache-2.0", "#pragma once"]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(head + single.lines)) + "\n"
    if arguments.file is None:
        sys.stdout.write(text)
    else:
        arguments.file.parent.mkdir(parents=True, exist_ok=True)
        arguments.file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
