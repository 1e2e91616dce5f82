#!/usr/bin/env python3
"""That the single header gives the compiler what the headers it is made of give.

    same_tokens.py HEADER INCLUDE SINGLE_INCLUDE COMPILER...    # HEADER below both folders

Apart from blank lines, and from what Eigen's headers say about warnings each time they are included.
"""

import itertools
import re
import subprocess
import sys


def preprocessed(header, include, compiler):
    command = [*compiler, "-I", include, "-E", "-P", "-x", "c++", "-"]
    done = subprocess.run(command, input=f"#include <{header}>\n", text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    lines = (line.strip() for line in done.stdout.splitlines())
    return [line for line in lines if line and not re.match(r"#pragma \w+ diagnostic", line)]


def main():
    header, include, single_include, *compiler = sys.argv[1:]
    parts = preprocessed(header, include, compiler)
    single = preprocessed(header, single_include, compiler)
    for number, (expected, was) in enumerate(itertools.zip_longest(parts, single)):
        if expected != was:
            sys.exit(f"{header}: line {number} is\n  {was}\nexpected\n  {expected}")
    print(f"{header}: {len(single)} lines, all the same")


if __name__ == "__main__":
    main()
