"""How long `nextbest demo` takes from nothing, and what it finds beside the simulator's truth and the peers.

Run it from the repository root: ``python -m tests.benchmarks.demo``.
"""

from __future__ import annotations

import sys
import tempfile

from tests.benchmarks._run import closing, run, table

MAX_SECONDS = 180.0


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        ran = run("demo", "--workspace", folder)
    steps = {name: {"seconds": step["seconds"]} for name, step in ran.answer.items() if "seconds" in step}
    table(
        "demo, from nothing", {**steps, "all": {"seconds": ran.seconds, "peak GB": ran.peak_gb}}, ("seconds", "peak GB")
    )
    print()
    table("identity, against the truth", {"people": ran.answer["identity"]}, ("pair_precision", "pair_recall"))
    for model, report in ran.answer["train"]["models"].items():
        print()
        columns = ("hit_5", "ndcg_5", "ece") if "hit_5" in report["metrics"] else ("auc", "lift_10", "log_loss", "ece")
        table(f"{model}, {report['verdict']}", {"nextbest": report["metrics"], **report["peers"]}, columns)
    return closing(
        [f"demo took {ran.seconds:.0f} s, the bar is {MAX_SECONDS:.0f} s"] if ran.seconds > MAX_SECONDS else []
    )


if __name__ == "__main__":
    sys.exit(main())
