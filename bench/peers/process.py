"""A worker as the driver sees it: requests, answers, and the processor time it takes."""

import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

# Some machines force older kernels on OpenBLAS through these; a comparison wants its own choice.
NOT_INHERITED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

IDLE_SHARE = 0.02
IDLE_WINDOW_SECONDS = 0.005
IDLE_LIMIT_SECONDS = 2.0


def processors() -> dict[str, float]:
    """Of the whole machine, since it started: seconds at work, and seconds that its host took away."""
    fields = [int(x) / os.sysconf("SC_CLK_TCK") for x in pathlib.Path("/proc/stat").read_text().split()[1:9]]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = fields
    return {"busy": user + nice + system + interrupts + soft_interrupts, "stolen": stolen}


class WorkerEnded(Exception):
    """The process is gone: a crash or an abort of the library under test."""


class WorkerProcess:
    def __init__(self, name: str, threads: int, library: pathlib.Path, log: pathlib.Path) -> None:
        self.name = name
        environment = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(threads)
        environment["COCA_PEER_LIBRARY"] = str(library)
        environment["PYTHONPATH"] = str(HERE)
        with open(log, "a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), name, str(threads)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip

    def ask(self, op: str, **arguments) -> dict:
        """The worker's answer; one with a "reason" is a refusal."""
        try:
            self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerEnded(f"the process ended with status {self.process.wait()}")
        return json.loads(line)

    def processor_seconds(self) -> float:
        """Of all its threads that are alive."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
        return 1e-9 * total

    def wait_until_idle(self) -> float:
        """Thread pools spin for a while after their work. Gives the seconds that were waited."""
        start = time.perf_counter()
        while time.perf_counter() - start < IDLE_LIMIT_SECONDS:
            before, since = self.processor_seconds(), time.perf_counter()
            time.sleep(IDLE_WINDOW_SECONDS)
            spent = self.processor_seconds() - before
            if spent < IDLE_SHARE * (time.perf_counter() - since):
                break
        return time.perf_counter() - start

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
