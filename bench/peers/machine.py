"""What the numbers were taken on."""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys


def output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as problem:
        return f"not known: {problem}"


def processor() -> dict[str, str]:
    fields = {}
    for line in output("lscpu").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    wanted = ("Model name", "CPU family", "Model", "Stepping", "CPU(s)", "Thread(s) per core", "L1d cache",
              "L2 cache", "L3 cache", "Hypervisor vendor", "Flags")  # fmt: skip
    return {name: fields[name] for name in wanted if name in fields}


def context(source: pathlib.Path) -> dict:
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "memory": next(iter(output("grep", "MemTotal", "/proc/meminfo").splitlines()), ""),
        "kernel": platform.release(),
        "system": platform.platform(),
        "compilers": {name: output(name, "--version").partition("\n")[0] for name in ("g++", "clang++")},
        "python": sys.version,
        "coca commit": output("git", "-C", str(source), "describe", "--always", "--dirty"),
        "load before": os.getloadavg(),
    }


if __name__ == "__main__":
    print(json.dumps(context(pathlib.Path(__file__).resolve().parents[2]), indent=1))
