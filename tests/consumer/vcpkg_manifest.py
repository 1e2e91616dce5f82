#!/usr/bin/env python3
"""That a vcpkg manifest is one by vcpkg's documentation, of the given version and of the license that is there.

    vcpkg_manifest.py MANIFEST VERSION LICENSE

https://learn.microsoft.com/vcpkg/reference/vcpkg-json; and that each of a list of mistakes would be found.
"""

import json
import pathlib
import re
import sys

# SPDX's names of licenses, and how their texts begin.
LICENSES = {"Apache-2.0": "Apache License Version 2.0,"}
PLATFORMS = """x64 x86 arm arm32 arm64 wasm32 mips64 ppc64le riscv32 riscv64 s390x loongarch32 loongarch64
    windows mingw linux freebsd openbsd netbsd solaris osx uwp xbox android emscripten ios tvos watchos visionos
    qnx vxworks static staticcrt native""".split()


class Wrong(Exception):
    pass


def need(condition, where, value):
    if not condition:
        raise Wrong(f"{where}: {json.dumps(value)} is not as vcpkg has it")


def of_type(kind):
    return lambda value, where: need(type(value) is kind, where, value)  # a bool is no int here


def like(pattern):
    return lambda value, where: need(isinstance(value, str) and re.fullmatch(pattern, value), where, value)


def list_of(rule):
    def check(value, where):
        need(isinstance(value, list), where, value)
        for i, item in enumerate(value):
            rule(item, f"{where}[{i}]")
    return check


def either(kind, rule, other):
    """Values of a type follow one rule, all others another."""
    return lambda value, where: (rule if isinstance(value, kind) else other)(value, where)


def record(rules, required=()):
    """An object of known members; those that begin with $ are comments."""
    def check(value, where):
        need(isinstance(value, dict), where, value)
        for key, item in value.items():
            if not key.startswith("$"):
                need(key in rules, where, key)
                rules[key](item, f"{where}.{key}")
        for key in required:
            need(key in value, where, f"no {key}")
    return check


def record_of(rule):
    """An object whose members have names of any kind."""
    def check(value, where):
        need(isinstance(value, dict), where, value)
        for key, item in value.items():
            name(key, where)
            rule(item, f"{where}.{key}")
    return check


def platform(value, where):
    """Names with ! & | , and parentheses; & and | are not mixed without these."""
    need(isinstance(value, str), where, value)
    tokens = re.findall(r"[a-z0-9]+|\S", value) + [""]
    names = {"not": "!", "and": "&"}

    def take():
        token = tokens.pop(0)
        return names.get(token, token)

    def operand():
        token = take()
        if token == "!":
            token = take()
        if token == "(":
            expression(")")
        else:
            need(token in PLATFORMS, where, value)

    def expression(end):
        operators = set()
        while True:
            operand()
            operator = take()
            if operator == end:
                return
            need(operator in ("&", "|", ","), where, value)
            operators = set() if operator == "," else operators | {operator}
            need(len(operators) < 2, where, value)

    expression("")


def name(value, where):
    like("[a-z0-9]+(-[a-z0-9]+)*")(value, where)
    need(not re.fullmatch("prn|aux|nul|con|core|default|(lpt|com)[1-9]", value), where, value)


TEXT = like(r"(?s).*\S.*")
TEXTS = either(list, list_of(TEXT), TEXT)
FLAG = of_type(bool)
DEPENDENCIES = list_of(either(str, name, record({
    "name": name, "default-features": FLAG, "features": list_of(either(str, name, record({
        "name": name, "platform": platform}, ["name"]))), "host": FLAG, "platform": platform,
    "version>=": like(r"[^#]+(#\d+)?")}, ["name"])))
LICENSE = like("|".join(map(re.escape, LICENSES)))
NUMBER = r"(0|[1-9]\d*)"
SUFFIX = r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
VERSIONS = {
    "version": like(rf"{NUMBER}(\.{NUMBER})*{SUFFIX}"),
    "version-semver": like(rf"{NUMBER}\.{NUMBER}\.{NUMBER}{SUFFIX}"),
    "version-date": like(r"\d{4}-\d\d-\d\d(\.\d+)*"),
    "version-string": like("[^#]+"),
}
# What a port may have; builtin-baseline, overrides and configuration are for who builds at the top.
PORT = record({
    "name": name, "port-version": of_type(int), "maintainers": TEXTS, "summary": TEXTS, "description": TEXTS,
    "homepage": like(r"https?://\S+"), "documentation": like(r"https?://\S+"), "license": LICENSE,
    "supports": platform, "dependencies": DEPENDENCIES, "default-features": list_of(name),
    "features": record_of(record({
        "description": TEXTS, "dependencies": DEPENDENCIES, "supports": platform, "license": LICENSE},
        ["description"])),
    **VERSIONS}, ["name", "description", "license"])


def check(manifest, folder, version, license_text):
    PORT(manifest, "vcpkg.json")
    given = [manifest[key] for key in VERSIONS if key in manifest]
    need(given == [version], f"the version of the library is {version}", given)
    need(manifest["name"] == folder, f"the folder is {folder}", manifest["name"])
    begin = " ".join(license_text.split()).startswith(LICENSES[manifest["license"]])
    need(begin, "the text in LICENSE is another", manifest["license"])


# Of each of these fields, a value that vcpkg refuses.
MISTAKES = [
    ("name", "Coca"), ("name", "coca-"), ("name", "nul"), ("version", "1.x"), ("version", "1.0.0-"), ("version", 1),
    ("version-semver", "0.1.0"), ("license", "Apache 2.0"), ("description", ""), ("features", []), ("supports", ""),
    ("supports", "!windows & linux | osx"), ("supports", "!win"), ("supports", "(linux"), ("depends", []),
    ("dependencies", "eigen3"), ("dependencies", ["Eigen3"]), ("dependencies", [{"host": True}]),
    ("dependencies", [{"name": "eigen3", "version": "3.4"}]), ("dependencies", [{"name": "eigen3", "host": "yes"}]),
]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path = pathlib.Path(sys.argv[1])
    manifest = json.loads(path.read_text(encoding="utf-8"))
    rest = path.parent.name, sys.argv[2], pathlib.Path(sys.argv[3]).read_text(encoding="utf-8")
    try:
        check(manifest, *rest)
    except Wrong as wrong:
        sys.exit(str(wrong))
    for key, value in MISTAKES:
        try:
            check({**manifest, key: value}, *rest)
        except Wrong:
            continue
        sys.exit(f"{key}: {json.dumps(value)} goes unnoticed")
    print(f"{path}: as vcpkg has it")


if __name__ == "__main__":
    main()
