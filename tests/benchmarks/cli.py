"""How long `nextbest --help` takes: the median of several fresh processes, beside an empty Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
MAX_SECONDS = 0.3
NEXTBEST = str(Path(sys.executable).with_name("nextbest"))


def seconds(command: list[str]) -> float:
    """Return the wall time of one process; the command must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "nextbest --help": [NEXTBEST, "--help"]}
    print(f"{'command':<18}{'median s':>10}{'min s':>8}{'max s':>8}{'bar s':>8}")
    medians = {}
    for name, command in commands.items():
        seconds(command)  # the first run compiles and fills the page cache
        times = [seconds(command) for _ in range(RUNS)]
        medians[name] = statistics.median(times)
        bar = f"{MAX_SECONDS:.2f}" if name == "nextbest --help" else "-"
        print(f"{name:<18}{medians[name]:>10.3f}{min(times):>8.3f}{max(times):>8.3f}{bar:>8}")
    if medians["nextbest --help"] >= MAX_SECONDS:
        print(f"falls short: nextbest --help took {medians['nextbest --help']:.3f} s, the bar is {MAX_SECONDS} s")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
