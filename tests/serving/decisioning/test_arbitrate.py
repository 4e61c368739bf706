"""Who comes first, what caps and capacity leave, and that going one by one gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.decisioning.contact_history import Contact
from serving.decisioning.customer_inputs import Scores
from serving.decisioning.decision import Decision
from serving.decisioning.policy import Policy
from tests.serving.decisioning.world import ask, contacted, customers, days_ago, made, offer, one, policy, stops


def test_the_highest_expected_value_comes_first_and_the_rest_is_told_why_not() -> None:
    catalogue = policy(
        offer("small", value={"margin": 10}), offer("large", value={"margin": 900}), offer("middle"), top=2
    )
    decision = one(customers(), catalogue)
    assert made(decision) == ["large", "middle"]
    assert [item.rank for item in decision.items] == [1, 2]
    assert stops(decision) == {"small": ("arbitration", "top 2")}


def test_a_mandatory_offer_comes_first_whatever_it_is_worth() -> None:
    catalogue = policy(offer("notice", kind="mandatory", score=None, value={"margin": 0, "cost": 1}), offer("boost"))
    decision = one(customers(), catalogue)
    assert made(decision) == ["notice", "boost"]
    assert decision.items[0].propensity is None
    assert decision.items[0].priority == -1


def test_equal_offers_go_by_id_whatever_the_order_of_the_file() -> None:
    assert made(one(customers(), policy(offer("b"), offer("a"), offer("c"), top=2))) == ["a", "b"]


def test_a_cap_counts_contacts_that_are_younger_than_its_length_of_time() -> None:
    catalogue = policy(offer("boost", caps=[{"per": "customer", "every": "7d", "at_most": 1}]))
    assert stops(one(_after("boost", 6.9), catalogue)) == {"boost": ("cap", "at most 1 in 7d")}
    assert made(one(_after("boost", 7), catalogue)) == ["boost"]
    assert made(one(_after("other", 1), catalogue)) == ["boost"]


def test_a_contact_at_the_very_moment_or_later_does_not_count() -> None:
    catalogue = policy(offer("boost", caps=[{"every": "7d", "at_most": 1}]))
    assert made(one(_after("boost", 0), catalogue)) == made(one(_after("boost", -1), catalogue)) == ["boost"]


def test_a_cap_on_one_channel_leaves_the_other_open() -> None:
    capped = offer("boost", channels=["email", "agent"], caps=[{"channel": "email", "every": "7d", "at_most": 1}])
    history = {"ann": [contacted("boost", 2, channel="email")]}
    decision = one(customers(contacts=history), policy(capped))
    assert [item.channel for item in decision.items] == ["agent"]
    by_email = one(customers(contacts=history), policy(capped), channel="email")
    assert stops(by_email) == {"boost": ("cap", "at most 1 in 7d by email")}


def test_one_decision_does_not_break_a_cap_by_itself() -> None:
    catalogue = policy(
        offer("a", value={"margin": 300}),
        offer("b", value={"margin": 200}),
        offer("c", group="retention"),
        caps=[{"group": "upsell", "every": "30d", "at_most": 1}],
    )
    decision = one(customers(), catalogue)
    assert made(decision) == ["a", "c"]
    assert stops(decision) == {"b": ("cap", "at most 1 in 30d of group upsell")}


def test_transactional_messages_neither_count_towards_the_contact_policy_nor_obey_it() -> None:
    catalogue = policy(
        offer("receipt", kind="transactional", purpose="service", score=None, group="mail"),
        offer("boost"),
        caps=[{"every": "7d", "at_most": 1}],
    )
    assert made(one(_after("receipt", 1), catalogue)) == ["boost", "receipt"]
    assert made(one(_after("boost", 1), catalogue)) == ["receipt"]
    assert made(one(_after("a-retired-offer", 1), catalogue)) == ["receipt"]


def test_capacity_goes_to_the_highest_priority_and_ties_to_the_first_customer() -> None:
    scores = {"m": Scores(np.array([0.1, 0.3, 0.3, 0.3]))}
    catalogue = policy(offer("boost", score={"model": "m"}), capacity={"agent": "2/day"})
    decisions = {one.customer_id: one for one in ask(customers("d", "c", "b", "a", scores=scores), catalogue)}
    assert {name for name, decision in decisions.items() if decision.items} == {"a", "b"}
    assert decisions["c"].no_action_reason == "capacity"
    assert stops(decisions["d"]) == {"boost": ("capacity", "agent 2/day")}


def test_a_full_channel_sends_the_offer_to_its_next_channel() -> None:
    catalogue = policy(offer("boost", channels=["agent", "email"]), capacity={"agent": "1/day"})
    assert [item.channel for one in ask(customers("a", "b"), catalogue) for item in one.items] == ["agent", "email"]


def test_an_offer_whose_one_channel_is_capped_and_whose_other_is_full_was_stopped_by_capacity() -> None:
    capped = offer("boost", channels=["email", "agent"], caps=[{"channel": "email", "every": "7d", "at_most": 1}])
    history = {"ann": [contacted("boost", 2, channel="email")]}
    decision = one(customers(contacts=history), policy(capped, capacity={"agent": "0/day"}))
    assert stops(decision) == {"boost": ("capacity", "agent 0/day")}


def test_places_already_taken_today_are_gone() -> None:
    catalogue = policy(offer("boost"), capacity={"agent": "2/day"})
    decisions = ask(customers("a", "b"), catalogue, capacity_used={"agent": 1})
    assert [made(one) for one in decisions] == [["boost"], []]


def _after(name: str, days: float) -> Any:
    return customers(contacts={"ann": [Contact(name, "upsell", "agent", days_ago(days))]})


NAMES = ["o1", "o2", "o3", "o4"]
CHANNELS = ["agent", "email", "post"]
MARGINS = st.sampled_from([-100.0, 100.0, 200.0, 300.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any], Any]:
    """Draw a catalogue, its policy, and customers with ties, contacts, missing scores and missing consent."""
    offers = [
        offer(
            name,
            group=draw(st.sampled_from(["x", "y"])),
            kind=draw(st.sampled_from(["default", "default", "mandatory", "transactional"])),
            channels=draw(st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True)),
            value={"margin": draw(MARGINS), "cost": draw(st.sampled_from([0, 1]))},
            score={"model": "m"},
            caps=draw(st.lists(caps(st.none()), max_size=1)),
        )
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    ]
    settings = {
        "top": draw(st.integers(1, 3)),
        "capacity": draw(
            st.dictionaries(st.sampled_from(CHANNELS), st.integers(0, 3).map("{}/day".format), max_size=3)
        ),
        "caps": draw(st.lists(caps(st.sampled_from(["x", "y", None])), max_size=2)),
        "exploration": {"control": draw(st.sampled_from([0, 0.3]))},
    }
    ids = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    scores = draw(_lists(st.sampled_from([0.1, 0.2, 0.2, np.nan, -0.1]), len(ids)))
    consent = draw(_lists(st.sampled_from([1.0, 1.0, 1.0, 0.0, None]), len(ids)))
    touch = st.builds(contacted, st.sampled_from(NAMES), st.integers(1, 9), channel=st.sampled_from(CHANNELS))
    history = {name: draw(st.lists(touch, max_size=2)) for name in ids}
    batch = customers(*ids, consent=consent, scores={"m": Scores(np.array(scores))}, contacts=history)
    return offers, settings, batch


def caps(group: st.SearchStrategy[str | None]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "every": st.just("7d"),
            "at_most": st.integers(0, 2),
            "channel": st.sampled_from([None, *CHANNELS]),
            "group": group,
        }
    )


def _lists(values: st.SearchStrategy[Any], size: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=size, max_size=size)


@given(worlds())
def test_what_no_decision_may_ever_do(world: tuple[list[dict[str, Any]], dict[str, Any], Any]) -> None:
    offers, settings, batch = world
    catalogue = policy(*offers, **settings)
    decisions = ask(batch, catalogue)
    consent = batch.features["consent__marketing"]
    for row, decision in enumerate(decisions):
        assert len(decision.items) + len(decision.blocked) == len(offers)
        assert bool(decision.items) == (decision.no_action_reason is None)
        assert len(decision.items) <= settings["top"]
        assert not decision.items or consent[row] == 1
        optional = [not catalogue.mandatory[_index(catalogue, item.offer)] for item in decision.items]
        order = [(late, -item.priority) for late, item in zip(optional, decision.items, strict=True)]
        assert order == sorted(order)
        _within_caps(catalogue, decision, batch, row)
    for channel, capacity in catalogue.settings.capacity.items():
        assert sum(item.channel == channel for one in decisions for item in one.items) <= capacity.limit


@given(worlds())
def test_the_order_of_offers_changes_nothing(
    world: tuple[list[dict[str, Any]], dict[str, Any], Any],
) -> None:
    offers, settings, batch = world
    turned = policy(*reversed(offers), **settings)
    assert ask(batch, turned) == ask(batch, policy(*offers, **settings))


@given(worlds())
def test_one_by_one_gives_the_same(world: tuple[list[dict[str, Any]], dict[str, Any], Any]) -> None:
    offers, settings, batch = world
    catalogue = policy(*offers, **settings)
    decisions = ask(batch, catalogue)
    stopped = {"cap", "capacity", "arbitration"}
    pairs = [
        (not catalogue.mandatory[index], customer.customer_id, index, row)
        for row, customer in enumerate(decisions)
        for index, one_offer in enumerate(catalogue.offers)
        if stops(customer).get(one_offer.id, ("cap", ""))[0] in stopped
    ]
    assert _one_by_one(catalogue, batch, pairs) == [
        [(item.offer, item.channel) for item in decision.items] for decision in decisions
    ]


def _one_by_one(catalogue: Policy, batch: Any, pairs: list[tuple[bool, str, int, int]]) -> list[list[tuple[str, str]]]:
    """Go through the pairs of customer and offer from the highest priority down, in plain Python."""
    selection: list[list[tuple[str, str]]] = [[] for _ in batch.customer_ids]
    left = {name: capacity.limit for name, capacity in catalogue.settings.capacity.items()}
    for _, customer, index, row in sorted(
        pairs, key=lambda pair: (pair[0], -_priority(catalogue, batch, pair), *pair[1:3])
    ):
        del customer
        settings = catalogue.offers[index].settings
        if len(selection[row]) == catalogue.settings.top:
            continue
        for channel in settings.channels:
            if left.get(channel, 1) > 0 and _allowed(catalogue, batch, row, index, channel, selection[row]):
                selection[row].append((settings.id, channel))
                if channel in left:
                    left[channel] -= 1
                break
    return selection


def _priority(catalogue: Policy, batch: Any, pair: tuple[bool, str, int, int]) -> float:
    settings = catalogue.offers[pair[2]].settings
    gain = batch.scores["m"].values[pair[3]] * settings.value.margin
    return float(0.0 if np.isnan(gain) else gain) - settings.value.cost


def _allowed(
    catalogue: Policy, batch: Any, row: int, index: int, channel: str, selection: list[tuple[str, str]]
) -> bool:
    return all(
        _count(catalogue, batch, row, cap, selection) < cap.at_most
        for cap in catalogue.caps
        if cap.applies[index] and cap.channel_name in (None, channel)
    )


def _within_caps(catalogue: Policy, decision: Decision, batch: Any, row: int) -> None:
    selection = [(item.offer, item.channel) for item in decision.items]
    for cap in catalogue.caps:
        touched = any(
            cap.applies[_index(catalogue, name)] and cap.channel_name in (None, channel) for name, channel in selection
        )
        assert not touched or _count(catalogue, batch, row, cap, selection) <= cap.at_most


def _count(catalogue: Policy, batch: Any, row: int, cap: Any, selection: list[tuple[str, str]]) -> int:
    """Count a customer's contacts that a cap counts: the earlier ones, and those of this decision."""
    history = batch.contacts
    kinds = {one_offer.id: one_offer.settings for one_offer in catalogue.offers}
    seen = [
        (history.offer.names[history.offer.codes[at]], history.group.names[history.group.codes[at]], channel)
        for at in np.flatnonzero(history.customer == row)
        if history.time[at] > np.datetime64(days_ago(7).replace(tzinfo=None), "us").astype(int)
        for channel in [history.channel.names[history.channel.codes[at]]]
    ]
    seen += [(name, kinds[name].group, channel) for name, channel in selection]
    return sum(
        (cap.channel_name in (None, channel))
        and (cap.offers is None or name in cap.offers)
        and (cap.groups is None or group in cap.groups)
        and not (cap.offers is None and name in kinds and kinds[name].kind == "transactional")
        for name, group, channel in seen
    )


def _index(catalogue: Policy, name: str) -> int:
    return next(one_offer.index for one_offer in catalogue.offers if one_offer.id == name)
