"""The README's shop as a workspace: its own generator, feeds and views, with fewer customers and one model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from features.base.workspace import Workspace
from features.identity.keyed_digest import store_key
from tests.console_blocks import files_of

REPOSITORY = Path(__file__).resolve().parents[1]
CUSTOMERS = 200

LABELS = """\
models:
  churn:
    label: {kind: inactivity, event: purchase, horizon: 30d}
    population: {active_within: 60d}
    min_positives: 20
validation: {scheme: time, folds: 2}
"""
OFFERS = """\
offers:
  - id: ten-percent-off
    group: retention
    purpose: marketing
    channels: [email]
    value: {margin: 3 * orders__amount_mean_90d * score__churn, cost: 0.2}
    applicability: score__churn > 0.2
    score: {propensity: 0.15, evidence: 100}
  - id: tasting
    group: upsell
    purpose: marketing
    channels: [email, shop]
    value: {margin: 12, cost: 1}
    eligibility: profile__city = 'York'
    score: {propensity: 0.2, evidence: 50}
policy: {exploration: {control: 0.05}, top: 2}
"""
# A few hundred customers cannot beat every peer for sure, and it is not what these tests are about.
MLFLOW = """\
gates: {min_positives: 20, max_ece: 1, max_fold_spread: 1, off: [TG002]}
"""


def write_tiny(folder: Path, *, customers: int = CUSTOMERS) -> Workspace:
    """Write the workspace into a new folder and make its data; nothing is run."""
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    files = {name.removeprefix("shop/"): text for name, text in files_of(page).items()}
    files |= {"training/labels.yaml": LABELS, "serving/offers.yaml": OFFERS, "mlflow.yaml": MLFLOW}
    made = files["make_data.py"]
    files["make_data.py"] = made.replace("range(1, 1201)", f"range(1, {customers + 1})")
    assert files["make_data.py"] != made, "the README's generator no longer makes 1,200 customers: say how many here"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copyfile(REPOSITORY / "features" / "feature_store.yaml", folder / "features" / "feature_store.yaml")
    subprocess.run([sys.executable, "make_data.py"], cwd=folder, check=True)
    store_key(Workspace(folder).identity_key, "the same ids in every copy of the shop")
    store_key(Workspace(folder).pseudonym_key, "the same entries in every copy of the shop")
    return Workspace(folder)
