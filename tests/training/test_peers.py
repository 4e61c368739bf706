"""The peers of a fold see what they may, and are at their strongest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.base.database_engine import open_engine
from tests.training.rows import frame_of
from training.baselines.peers import (
    PEERS,
    PurchaseHistory,
    plain_classifiers,
    prepare_peers,
    purchase_rules,
    ranking_peers,
)
from training.dataset.splits import Fold
from training.labels.label_settings import RecordedField
from training.models.binary_kind import BinaryKind
from training.models.model_kinds import KINDS

CHANCE = np.random.default_rng(5)
CUSTOMERS = 200
FRAME = frame_of(CHANCE.integers(0, 2, 2 * CUSTOMERS).astype(float), days=[0, 90])
EARLY = np.repeat([True, False], CUSTOMERS)
FOLD = Fold("last", EARLY, ~EARLY)


def past(*, strangers: bool) -> PurchaseHistory:
    """Return histories of the population, and perhaps of strangers who came twice long ago and never since."""
    count = CHANCE.integers(0, 9, 2 * CUSTOMERS)
    known = FRAME.rows.assign(frequency=count, recency=np.where(count > 0, 300.0, 0.0), age=330.0)
    if not strangers:
        return PurchaseHistory(known, ahead=90.0)
    gone = known.assign(customer_id="gone_" + known["customer_id"], frequency=1, recency=5.0)
    return PurchaseHistory(pd.concat([known, gone], ignore_index=True), ahead=90.0)


def test_an_inactivity_is_compared_with_rules_and_a_recorded_label_is_not() -> None:
    libraries, rules = (
        plain_classifiers(FRAME, FOLD, seed=1),
        purchase_rules(FRAME.take(FOLD.test), past(strangers=False)),
    )
    assert [peer.name for peer in libraries] == ["logistic_regression", "default_lightgbm"]
    assert [peer.name for peer in rules] == ["recency", "bg_nbd_p_alive", "bg_nbd_expected"]
    assert all(peer.score.shape == (CUSTOMERS,) for peer in [*libraries, *rules])
    recorded = RecordedField(kind="recorded", field="crm.left", positive="yes")
    with open_engine(folders=[]) as engine:
        peers = prepare_peers(engine, BinaryKind.peers, recorded, FRAME, seed=1)(FOLD)
    assert [peer.name for peer in peers] == ["past_rate", *(peer.name for peer in libraries)]


def test_every_kind_names_peers_that_there_are() -> None:
    assert {name for kind in KINDS for name in kind.peers} <= set(PEERS)


def test_bg_nbd_learns_from_customers_outside_the_population_too() -> None:
    within, beyond = (
        {peer.name: peer.score for peer in purchase_rules(FRAME.take(FOLD.test), past(strangers=strangers))}
        for strangers in (False, True)
    )
    assert beyond["bg_nbd_p_alive"].mean() > within["bg_nbd_p_alive"].mean()


def test_popularity_counts_what_was_taken_before_the_fold() -> None:
    taken = np.zeros((20, 2))
    taken[:10, 0], taken[10:, 1] = 1, 1
    frame = frame_of(taken, days=[0, 90], candidates=("tea", "cake"))
    fold = Fold("last", np.arange(20) < 10, np.arange(20) >= 10)
    popular, own = ranking_peers(frame, fold, np.tile([0.0, 3.0], (20, 1)))
    assert popular.score[0].tolist() == [1.0, 0.0]
    assert own.score[0].argmax() == 1
