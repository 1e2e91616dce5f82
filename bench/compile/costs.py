"""Seconds of commands, and E: the unit in which compile times hold on any machine.

E is the processor time of a file that includes Eigen/Dense and unsupported/Eigen/CXX11/Tensor and declares one
tensor function (eigen.cpp), with the same compiler and flags in the same run. Python's standard library is enough.
"""

import os
import pathlib
import subprocess
import sys
import time
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "peers"))
from machine import context  # noqa: E402, F401

FLAGS = ("-std=c++20", "-O2")


@dataclass
class Cost:
    cpu: float  # seconds of all processors, of the command and of all that it waited for
    wall: float
    code: int  # what it exits with


def cost(command: list[str], log=None, **options) -> Cost:
    """Runs a command; with a log, its output goes there."""
    output = {} if log is None else {"stdout": log, "stderr": subprocess.STDOUT}
    begin = time.monotonic()
    process = subprocess.Popen(command, **output, **options)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - begin, process.returncode)


def compile_seconds(compiler: str, source: pathlib.Path, eigen: str, *arguments: str) -> float:
    """Processor seconds for one file, whose result is thrown away."""
    # Without a cache of compilations, which would answer the second time.
    environment = {**os.environ, "CCACHE_DISABLE": "1"}
    command = [compiler, *FLAGS, *arguments, f"-I{eigen}", "-c", str(source), "-o", os.devnull]
    spent = cost(command, env=environment)
    if spent.code != 0:
        sys.exit(f"{' '.join(command)} failed")
    return spent.cpu


def eigen_seconds(compiler: str, eigen: str) -> float:
    return compile_seconds(compiler, HERE / "eigen.cpp", eigen)
