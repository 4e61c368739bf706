"""A process that has imported the whole house and forks for each command, so that a test can start and kill many.

Importing takes ten seconds, the work of a tiny workspace one: a test of kills would otherwise kill imports.
Run as a script it reads one command a line (arguments separated by tabs, the log's path first) and answers with the
child's process id, and once it has ended with its exit status and how many seconds it took.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[2]


class Moments:
    """Random moments of a command's run to kill it at, however fast the machine is just now.

    What the command takes is learnt from its own runs: from one that came to its end, and from every one that did not,
    after which the next may take a little longer, so that sooner or later one does.

    Parameters
    ----------
    takes : seconds of a whole run
    """

    def __init__(self, chance: random.Random, *, takes: float) -> None:
        self._chance, self._takes = chance, takes

    def draw(self) -> float:
        """Return how many seconds after its start the command is to be killed."""
        return self._chance.uniform(0, self._takes)

    def learn(self, *, killed: bool, took: float) -> None:
        self._takes = 1.05 * self._takes if killed else took


class Forking:
    """The test's side: `start` a command, kill it or not, `wait` for its end, which `took` so many seconds."""

    def __init__(self) -> None:
        self.took = 0.0
        self._running: int | None = None
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.serving.forking"],
            cwd=REPOSITORY,
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},  # as `nextbest` itself sets it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Forking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:  # the test has failed meanwhile
            with suppress(ProcessLookupError):
                os.kill(self._running, signal.SIGKILL)
        self._pipe(self._server.stdin).close()
        self._server.wait()
        self._pipe(self._server.stdout).close()

    def start(self, arguments: list[str], *, log: Path) -> int:
        """Start a command whose output goes to `log`; return its process id."""
        log.touch()
        requests = self._pipe(self._server.stdin)
        requests.write("\t".join([str(log), *arguments]) + "\n")
        requests.flush()
        self._running = int(self._pipe(self._server.stdout).readline())
        return self._running

    def wait(self) -> int:
        """Return the exit code of the command that was started last; -9 when it was killed."""
        code, took = self._pipe(self._server.stdout).readline().split()
        self._running, self.took = None, float(took)
        return int(code)

    def kill(self, arguments: list[str], *, log: Path, moments: Moments) -> bool:
        """Start a command and kill it at one of the moments; say whether it was killed before it came to its end."""
        process = self.start(arguments, log=log)
        time.sleep(moments.draw())
        with suppress(ProcessLookupError):  # it may have ended by then
            os.kill(process, signal.SIGKILL)
        code = self.wait()
        assert code in (0, -signal.SIGKILL), log.read_text(encoding="utf-8")
        moments.learn(killed=code != 0, took=self.took)
        return code != 0

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def _child(log: str, arguments: list[str]) -> None:
    from serving.cli.main import _run

    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 1
    try:
        code = _run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _serve() -> None:
    for module in (
        "features.pipeline.build_features",
        "training.pipeline",
        "serving.batch.decide_job",
        "serving.cli.main",
    ):
        importlib.import_module(module)
    for line in sys.stdin:
        log, *arguments = line.rstrip("\n").split("\t")
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _child(log, arguments)
        os.write(1, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)} {time.monotonic() - began}\n".encode())


if __name__ == "__main__":
    _serve()
