"""`nextbest run` on UCI Online Retail, from nothing: time, memory, and every model beside its peers.

Run it from the repository root: ``python -m tests.benchmarks.online_retail``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks._run import DATA, closing, copy_workspace, run, table

MAX_SECONDS, MAX_GB = 180.0, 3.0
#: What a model must be ahead of, by which figure.
AHEAD = {
    "churn": (("auc", "lift_10"), ("recency", "bg_nbd_p_alive")),
    "cross_sell": (("hit_5",), ("popularity", "own_most_frequent")),
    "new_groups": (("hit_5", "ndcg_5"), ("popularity",)),
}
COLUMNS = {
    "churn": ("auc", "lift_10", "empc", "log_loss", "ece"),
    "cross_sell": (
        "hit_5",
        "ndcg_5",
        "hit_5_again",
        "ndcg_5_again",
        "hit_5_new",
        "ndcg_5_new",
        "recall_5",
        "mrr",
        "ece",
    ),
    "new_groups": ("hit_5", "ndcg_5", "recall_5", "mrr", "ece"),
}


def main() -> int:
    if not (DATA / "uci_online_retail").is_dir():
        print(f"no uci_online_retail in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    with tempfile.TemporaryDirectory() as folder:
        ran = run("run", "--workspace", str(copy_workspace("online_retail", Path(folder))))
    short = []
    steps = {step: {"seconds": report["seconds"]} for step, report in ran.answer.items()}
    table(
        "online_retail, from nothing",
        {**steps, "all": {"seconds": ran.seconds, "peak GB": ran.peak_gb}},
        ("seconds", "peak GB"),
    )
    if ran.seconds > MAX_SECONDS:
        short.append(f"run took {ran.seconds:.0f} s, the bar is {MAX_SECONDS:.0f} s")
    if ran.peak_gb > MAX_GB:
        short.append(f"run held {ran.peak_gb:.2f} GB, the bar is {MAX_GB:.1f} GB")
    for model, report in ran.answer["train"]["models"].items():
        print()
        table(f"{model}, {report['verdict']}", {"nextbest": report["metrics"], **report["peers"]}, COLUMNS[model])
        figures, peers = AHEAD[model]
        ours = report["metrics"]
        short += [
            f"{model} {figure} {ours[figure]:.4f} is not ahead of {peer} {report['peers'][peer][figure]:.4f}"
            for figure in figures
            for peer in peers
            if ours[figure] <= report["peers"][peer][figure]
        ]
    return closing(short)


if __name__ == "__main__":
    sys.exit(main())
