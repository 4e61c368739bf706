"""A process that has imported the whole house and forks for each command, so that a test can start and kill many.

Importing takes ten seconds, the work of a tiny workspace one: a test of kills would otherwise kill imports.
Run as a script it reads one command a line (arguments separated by tabs, the log's path first) and answers with the
child's process id, and with its exit status once it has ended.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[2]


class Forking:
    """The test's side: `start` a command, kill it or not, `wait` for its end."""

    def __init__(self) -> None:
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
        self._pipe(self._server.stdin).close()
        self._server.wait(timeout=60)
        self._pipe(self._server.stdout).close()

    def start(self, arguments: list[str], *, log: Path) -> int:
        """Start a command whose output goes to `log`; return its process id."""
        log.touch()
        requests = self._pipe(self._server.stdin)
        requests.write("\t".join([str(log), *arguments]) + "\n")
        requests.flush()
        return int(self._pipe(self._server.stdout).readline())

    def wait(self) -> int:
        """Return the exit code of the command that was started last; -9 when it was killed."""
        return int(self._pipe(self._server.stdout).readline())

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def _child(log: str, arguments: list[str]) -> None:
    from serving.cli import _run

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
    for module in ("features.publish", "training.recipe", "serving.batch.decide_all"):
        importlib.import_module(module)
    for line in sys.stdin:
        log, *arguments = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            _child(log, arguments)
        os.write(1, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    _serve()
