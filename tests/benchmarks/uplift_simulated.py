"""A call that saves customers, costs money and wakes sleeping dogs: truth known, so that policies are judged in money.

Three companies: one whose customers differ in what a call does to them, one whose calls do nothing, one whose calls
help everybody alike. Run it from the repository root: ``python -m tests.benchmarks.uplift_simulated``.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.benchmarks._run import closing, table
from training.baselines import classifiers
from training.estimators import UpliftEnsemble
from training.evaluate import uplift
from training.models.feature_encoding import Encoding
from training.models.uplift_learners import UpliftSettings

ROWS, QUIET = 12_000, 10
VALUE, COST = 200.0, 12.0
MAX_FALSE = 2  # of the campaigns without a difference, found to have one
MIN_DOGS = 0.6
ONE_SEED = UpliftSettings(seeds=1)


@dataclass(frozen=True)
class Company:
    """Customers, whether they were called by chance, who stayed, and what a call truly changes."""

    features: pd.DataFrame
    stays: np.ndarray
    called: np.ndarray
    effect: np.ndarray


def company(seed: int, kind: str, rows: int = ROWS) -> Company:
    """Return a company of a kind: "differs", "none" or "same"."""
    rng = np.random.default_rng(seed)
    months, left = rng.integers(1, 72, size=rows), rng.integers(0, 25, size=rows)
    tickets, price = rng.poisson(0.8, size=rows), rng.gamma(4, 10, size=rows)
    features = pd.DataFrame(
        {
            "months": months,
            "months_left": left,
            "tickets": tickets,
            "price": price,
            "channel": rng.choice(["web", "shop", "phone"], size=rows),
            **{f"noise_{at}": rng.normal(size=rows) for at in range(5)},
        }
    )
    leaves = 1 / (1 + np.exp(2.2 - 0.9 * (left < 4) - 0.35 * tickets + 0.015 * months))
    dog = (left < 4) & (tickets == 0)  # about to end and had forgotten: the call reminds them
    helped = np.where(tickets >= 2, 0.45, np.where(tickets == 1, 0.2, 0.02)) * leaves
    effect = {"differs": np.where(dog, -0.15, helped), "none": 0 * leaves, "same": 0 * leaves + 0.05}[kind]
    called = rng.integers(2, size=rows)
    stays = (rng.random(rows) < np.clip(1 - leaves + called * effect, 0, 1)).astype(int)
    return Company(features, stays, called, effect)


def response_order(train: Company, test: Company) -> np.ndarray:
    """Return the probability of leaving of those who were not called: who is at risk is called first."""
    encoding = Encoding.fit(train.features)
    known, unknown = encoding.matrix(train.features), encoding.matrix(test.features)
    quiet = train.called == 0
    leaves = 1.0 - train.stays[quiet]
    logistic = classifiers.fit_logistic(known[quiet], leaves, encoding=encoding)
    trees = classifiers.fit_plain_boosting(known[quiet], leaves, encoding=encoding, seed=1)
    return (logistic.score(unknown) + trees.score(unknown)) / 2


def money(test: Company, chosen: np.ndarray) -> float:
    """Return what calling the chosen truly earns, per customer of the company."""
    return float((chosen * (VALUE * test.effect - COST)).mean())


def policies() -> tuple[dict[str, dict[str, float]], float, float]:
    """Return money of every policy, the share of sleeping dogs that are found, and the p-value."""
    train, test = company(1, "differs"), company(2, "differs")
    began = time.perf_counter()
    model = UpliftEnsemble().fit(train.features, train.stays, train.called)
    took = time.perf_counter() - began
    chosen = model.choose(test.features, value=VALUE, cost=COST) == 1
    risk = response_order(train, test)
    same_number = risk >= np.quantile(risk, 1 - chosen.mean())
    best_share = max((money(test, risk >= np.quantile(risk, 1 - share)), share) for share in np.arange(0.05, 1, 0.05))
    perfect = VALUE * test.effect > COST
    rows = {
        "nextbest": {"money": money(test, chosen), "called": float(chosen.mean()), "seconds": took},
        "response, as many": {"money": money(test, same_number), "called": float(same_number.mean())},
        "response, best share": {"money": best_share[0], "called": best_share[1]},
        "everybody": {"money": money(test, np.ones(ROWS)), "called": 1.0},
        "perfect": {"money": money(test, perfect), "called": float(perfect.mean())},
    }
    effect = model.predict(test.features)[:, 0]
    rows["nextbest"]["qini"] = uplift.qini(test.stays, effect, test.called)
    rows["response, as many"]["qini"] = uplift.qini(test.stays, risk, test.called)
    print(model.summary_.round(4).to_string(index=False))
    dogs = test.effect < 0
    return rows, float((effect[dogs] < 0).mean()), model.p_value_


def main() -> int:
    rows, dogs, p_value = policies()
    table("money per customer", rows, ("money", "called", "qini", "seconds"))
    print(f"sleeping dogs whose predicted effect is below 0: {dogs:.0%}; p-value of a difference: {p_value:.2g}")
    found = {}
    for kind in ("none", "same"):
        quiet = [company(100 + at, kind, rows=4000) for at in range(QUIET)]
        models = [UpliftEnsemble(settings=ONE_SEED).fit(one.features, one.stays, one.called) for one in quiet]
        found[kind] = sum(model.detectable_ for model in models)
        average = sum(model.summary_["average_p_value"][0] <= 0.05 for model in models)
        print(
            f"effect {kind}: differences are found in {found[kind]} of {QUIET} campaigns, average effects in {average}"
        )
    short = [
        f"nextbest earns {rows['nextbest']['money']:.3f} per customer, {peer} {rows[peer]['money']:.3f}"
        for peer in ("response, as many", "response, best share", "everybody")
        if rows["nextbest"]["money"] <= rows[peer]["money"]
    ]
    if dogs < MIN_DOGS:
        short.append(f"{dogs:.0%} of the sleeping dogs are found, the bar is {MIN_DOGS:.0%}")
    short += [
        f"a difference is found in {count} of {QUIET} campaigns with effect {kind}, the bar is {MAX_FALSE}"
        for kind, count in found.items()
        if count > MAX_FALSE
    ]
    return closing(short)


if __name__ == "__main__":
    sys.exit(main())
