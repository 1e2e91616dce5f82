#!/usr/bin/env python3
"""The code in the documentation, taken from the text, so that it is built and run as it stands there.

    snippets.py source FILE...           # a program of all ```cpp blocks, each a function, to the terminal
    snippets.py cmake FILE               # its ```cmake blocks
    snippets.py project FILE FOLDER      # the files that a tutorial has its reader write, into FOLDER, and
                                         # what it has its reader type, as commands.sh
    snippets.py check PROGRAM FILE...    # runs either, and compares what it prints with the text; blocks
                                         # of Python need libraries of all kinds, and are compiled only

A block may have a mark before it, which readers do not see:

    <!-- given: CODE -->   what the block takes for granted, before it in its function
    <!-- file: NAME -->    the block is that file, of a tutorial
    <!-- into: NAME -->    the block goes before the last line of that file
    <!-- output -->        what is printed by the code before it; of a table, its numbers are
"""

import pathlib
import re
import subprocess
import sys

PIECE = re.compile(
    r"(?:^<!-- (?P<mark>given|file|into|output)(?::\s(?P<argument>.*?))?\s-->\n)?"
    r"(?:^```(?P<language>\w*)\n(?P<code>.*?)^```$|(?<=-->\n)(?P<table>(?:^\|.*?\|\n)+))",
    re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Snippet:
    """A block of C++, and what it prints, if the text says so."""

    def __init__(self, name, piece):
        self.name = name
        self.code = piece["code"]
        self.given = piece["argument"] if piece["mark"] == "given" else ""
        self.output = None
        self.table = None

    def source(self):
        """The block as a function, and its #include lines, which go before all functions."""
        lines = self.code.splitlines()
        includes = [line for line in lines if line.startswith("#include")]
        body = "\n".join(line for line in lines if not line.startswith("#include"))
        if "int main() {" in body:
            body = body.replace("int main() {", "void run() {")
        else:
            body = f"void run() {{\n{self.given}\n{body}\n}}"
        return includes, f"namespace {self.name} {{\n{body}\n}}\n"


def pieces(path):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    found = list(PIECE.finditer(text))
    marks = re.findall(r"^<!-- (?:given|file|into|output)\b.*", text, re.MULTILINE)
    if len(marks) != sum(piece["mark"] is not None for piece in found):
        sys.exit(f"{path}: a mark stands before no block, among:\n" + "\n".join(marks))
    return found


def snippets(path):
    found = []
    for piece in pieces(path):
        if piece["mark"] == "output":
            found[-1].output, found[-1].table = piece["code"], piece["table"]
        elif piece["language"] == "cpp":
            found.append(Snippet(f"{pathlib.Path(path).stem}_{len(found) + 1}", piece))
    return found


def source(paths):
    includes = []
    functions = []
    calls = []
    for snippet in (snippet for path in paths for snippet in snippets(path)):
        own, function = snippet.source()
        includes += [line for line in own if line not in includes]
        functions.append(function)
        calls.append(f'  std::puts("=== {snippet.name}");\n  {snippet.name}::run();\n')
    return "".join(f"{line}\n" for line in includes) + "\n" + "\n".join(functions) + \
        f"\nint main() {{\n{''.join(calls)}}}\n"


def project(path):
    files = {}
    for piece in pieces(path):
        name = piece["argument"]
        if piece["mark"] == "file":
            files[name] = piece["code"]
        elif piece["mark"] == "into":
            head, last = files[name].rstrip("\n").rsplit("\n", 1)
            files[name] = f"{head}\n\n{piece['code']}{last}\n"
        elif piece["language"] == "sh":
            files["commands.sh"] = files.get("commands.sh", "") + piece["code"]
    return files


def same(expected, table, printed):
    if table is not None:
        return NUMBER.findall(table) == NUMBER.findall(printed)
    return expected.splitlines() == printed.splitlines()


def check(program, paths):
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False)
    wrong = [] if done.returncode == 0 else [f"{program} ended with {done.returncode}:\n{done.stdout}"]
    sections = dict(re.findall(r"^=== (\w+)\n(.*?)(?=^=== |\Z)", done.stdout, re.MULTILINE | re.DOTALL))
    for path in paths:
        for piece in pieces(path):
            if piece["language"] == "python":
                compile(piece["code"], str(path), "exec")
        if project(path):
            outputs = [piece["code"] for piece in pieces(path) if piece["mark"] == "output"]
            results = [(path, "".join(outputs), None, done.stdout)]
        else:
            results = [(snippet.name, snippet.output, snippet.table, sections.get(snippet.name, ""))
                       for snippet in snippets(path) if snippet.output or snippet.table]
        wrong += [f"{name}: the text says\n{expected or table}\nthe program\n{printed}"
                  for name, expected, table, printed in results if not same(expected, table, printed)]
    print("\n".join(wrong) if wrong else done.stdout)
    return 1 if wrong else 0


def main():
    command, *arguments = sys.argv[1:] or ["help"]
    if command == "source" and arguments:
        print(source(arguments), end="")
    elif command == "cmake" and len(arguments) == 1:
        print("".join(piece["code"] for piece in pieces(arguments[0]) if piece["language"] == "cmake"), end="")
    elif command == "project" and len(arguments) == 2:
        folder = pathlib.Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in project(arguments[0]).items():
            (folder / name).write_text(text, encoding="utf-8")
    elif command == "check" and len(arguments) > 1:
        sys.exit(check(arguments[0], arguments[1:]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
