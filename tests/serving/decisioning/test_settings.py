"""The offers file: the contract's example is read as written; what cannot be meant is refused with its place."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from features.base.errors import BadConfiguration
from features.config.loading import Lines, load
from serving.decisioning.catalogue_checks import check
from serving.decisioning.offer_settings import OffersSettings

EXAMPLE = """\
offers:
  - id: fibre-upgrade
    group: upsell
    kind: default
    item: fibre
    purpose: marketing
    channels: [agent, email]
    value: {margin: 120, cost: 2.5}
    eligibility: profile__city is not null
    applicability: holdings__fibre = 0
    suitability: tickets__count_30d < 3
    valid: {from: 2026-01-01, to: 2026-12-31}
    caps: [{per: customer, channel: email, every: 7d, at_most: 1}]
    suppress: [{after: rejected, for: 30d}]
    score: {model: cross_sell}
policy: {exploration: {control: 0.02}, floor: 0, top: 3, capacity: {agent: 400/day}}
"""
FEATURES = {"profile__city", "holdings__fibre", "tickets__count_30d"}


def read(folder: Path, text: str) -> tuple[OffersSettings, Lines]:
    file = folder / "offers.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, OffersSettings, name="serving/offers.yaml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(BadConfiguration) as caught:
        read(folder, text)
    return str(caught.value)


def test_the_contracts_example_is_read(tmp_path: Path) -> None:
    settings, _ = read(tmp_path, EXAMPLE)
    (offer,) = settings.offers
    assert offer.value.margin == 120
    assert offer.valid.end == date(2026, 12, 31)
    assert offer.caps[0].every == timedelta(days=7)
    assert (offer.suppress[0].after, offer.suppress[0].rest) == ("rejected", timedelta(days=30))
    assert str(settings.policy.capacity["agent"]) == "400/day"
    assert settings.policy.exploration.control == 0.02


def test_the_contracts_example_has_no_problem(tmp_path: Path) -> None:
    found = check(*read(tmp_path, EXAMPLE), features=FEATURES, models={"cross_sell"}, purposes={"marketing"})
    assert found == []


def test_an_empty_file_is_a_catalogue_without_offers(tmp_path: Path) -> None:
    assert read(tmp_path, "")[0].offers == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("control: 0.02", "control: 0.02, thompson: true", "not available yet: remove `thompson`"),
        ("control: 0.02", "control: 1", "less than 1"),
        ("400/day", "400/fortnight", "such as 400/day"),
        ("suitability:", "suitabilty:", "did you mean 'suitability'"),
        ("score: {model: cross_sell}", "weight: 2", "needs a `score`"),
        ("{model: cross_sell}", "{propensity: 0.05}", "needs `evidence`"),
        ("{model: cross_sell}", "{model: a, propensity: 0.05, evidence: 9}", "give either `model` or"),
        ("to: 2026-12-31", "to: 2025-12-31", "swap them"),
        ("every: 7d", "every: 0d", "greater than"),
        ("every: 7d", "every: weekly", "such as 30d"),
        ("every: 7d", "every: 7d, offer: a, group: b", "keep `offer` or `group`"),
        ("after: rejected", "after: refused", "rejected"),
        ("[agent, email]", "[agent, agent]", "is listed twice"),
        ("[agent, email]", "[]", "at least 1"),
        ("id: fibre-upgrade", "id: NO_ACTION", "choose another id"),
        ("margin: 120", "margin: .nan", "finite"),
        ("floor: 0", "floor: .inf", "finite"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in EXAMPLE
    assert says in refusal(tmp_path, EXAMPLE.replace(old, new))


def test_thompson_may_be_switched_off(tmp_path: Path) -> None:
    settings, _ = read(tmp_path, EXAMPLE.replace("control: 0.02", "control: 0.02, thompson: false"))
    assert settings.policy.exploration.thompson is False


def test_an_id_may_stand_only_once(tmp_path: Path) -> None:
    offers, policy = EXAMPLE.split("policy:")
    twice = offers + offers.removeprefix("offers:\n") + "policy:" + policy
    assert "offer ids stand twice: fibre-upgrade" in refusal(tmp_path, twice)


def test_all_problems_are_found_at_once_with_their_lines(tmp_path: Path) -> None:
    wrong = (
        EXAMPLE.replace("profile__city", "profile__citty")
        .replace("holdings__fibre = 0", "holdings__fibre = (")
        .replace("tickets__count_30d < 3", "score__cros_sell < 3")
        .replace("margin: 120", "margin: spending * 2")
        .replace("{model: cross_sell}", "{model: cross_sel}")
        .replace("purpose: marketing", "purpose: marketting")
        .replace("channel: email", "channel: e-mail")
        .replace("agent: 400/day", "agents: 400/day")
    )
    found = check(*read(tmp_path, wrong), features=FEATURES, models={"cross_sell"}, purposes={"marketing"})
    assert {
        (problem.code, problem.where, problem.hint.split("?")[0]) for problem in found if problem.code != "expression"
    } == {
        ("offers.unknown_purpose", "serving/offers.yaml:6", "did you mean 'marketing'"),
        ("offers.unknown_model", "serving/offers.yaml:15", "did you mean 'cross_sell'"),
        ("offers.unknown_feature", "serving/offers.yaml:9", "did you mean 'profile__city'"),
        ("offers.unknown_score", "serving/offers.yaml:11", "did you mean 'score__cross_sell'"),
        ("offers.unknown_feature", "serving/offers.yaml:8", found[5].hint),
        ("offers.unknown_channel", "serving/offers.yaml:16", "did you mean 'agent'"),
        ("offers.unknown_channel", "serving/offers.yaml:13", "did you mean 'email'"),
    }
    assert [problem.where for problem in found if problem.code == "expression"] == ["serving/offers.yaml:10"]


def test_a_function_that_only_the_database_knows_is_refused_in_an_offer(tmp_path: Path) -> None:
    text = EXAMPLE.replace("profile__city is not null", "regexp_matches(profile__city, 'a+')")
    (problem,) = check(*read(tmp_path, text), features=FEATURES, models={"cross_sell"}, purposes={"marketing"})
    assert (problem.code, problem.where) == ("expression", "serving/offers.yaml:9")
