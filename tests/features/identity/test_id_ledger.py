"""Ids stay as records come, change and go; every change of an id is an event, and every past id leads to today's."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.base.errors import BadData
from features.identity.id_assignment import Overlap, keepers
from features.identity.id_changes import EVIDENCE
from features.identity.id_ledger import IdLedger, past_ids
from features.identity.past_ids import Change, trace
from tests.features.identity.ledgers import after, day, history, holders, kinds


def test_the_first_run_gives_every_group_an_id_of_its_own() -> None:
    ledger = history([[1, 2], [3]])
    ids = holders(ledger)
    assert ids[1] == ids[2] != ids[3]
    assert all(name.startswith("c") and len(name) == 17 for name in ids.values())
    assert [kind for kind, _, _ in kinds(ledger)] == ["created", "created"]


def test_a_partition_that_changes_nothing_gives_the_very_same_ledger() -> None:
    ledger = history([[1, 2], [3]])
    assert after(ledger, [[3], [2, 1]], 5) is ledger


def test_a_customer_keeps_its_id_when_records_join_and_leave() -> None:
    first = history([[1, 2], [3]])
    later = after(first, [[0, 2, 9], [3]], 1)
    assert holders(later) == {0: holders(first)[1], 2: holders(first)[1], 9: holders(first)[1], 3: holders(first)[3]}
    assert later.events.num_rows == first.events.num_rows


def test_when_two_customers_turn_out_to_be_one_the_larger_keeps_its_id_and_the_other_leads_to_it() -> None:
    first = history([[1], [2, 3]])
    small, large = holders(first)[1], holders(first)[2]
    merged = after(first, [[1, 2, 3]], 1)
    assert set(holders(merged).values()) == {large}
    assert kinds(merged, 2) == [("merged", small, large)]
    assert merged.resolve(small) == (large,)
    assert merged.resolve(small, as_of=day(0.5)) == (small,)


def test_of_two_equally_large_customers_the_older_keeps_its_id() -> None:
    first = history([[7]], [[7], [1]])
    assert set(holders(after(first, [[1, 7]], 2)).values()) == {holders(first)[7]}


def test_when_a_customer_turns_out_to_be_two_the_larger_part_keeps_the_id_and_the_id_leads_to_both() -> None:
    first = history([[1, 2, 3]])
    whole = holders(first)[1]
    split = after(first, [[1], [2, 3]], 1)
    part = holders(split)[1]
    assert holders(split)[2] == whole != part
    assert kinds(split, 1) == [("created", part, None), ("split", whole, part)]
    assert split.resolve(whole) == (whole, part)
    assert split.resolve(whole, as_of=day(0)) == (whole,)
    with pytest.raises(BadData, match="at that moment"):
        split.resolve(part, as_of=day(0.5))


def test_a_record_that_goes_over_to_another_customer_is_an_event_and_both_keep_their_ids() -> None:
    first = history([[1, 2], [3, 4]])
    one, other = holders(first)[1], holders(first)[3]
    moved = after(first, [[1], [2, 3, 4]], 1)
    assert holders(moved) == {1: one, 2: other, 3: other, 4: other}
    assert kinds(moved, 2) == [("moved", one, other)]
    assert moved.resolve(one) == (one, other)


def test_a_customer_whose_records_went_to_two_others_leads_to_both_the_larger_part_first() -> None:
    first = history([[1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    gone, large, small = holders(first)[1], holders(first)[8], holders(first)[4]
    after_it = after(first, [[1, 4, 5, 6, 7], [2, 3, 8, 9, 10, 11]], 1)
    assert kinds(after_it, 3) == [("moved", gone, small), ("merged", gone, large)]
    assert after_it.resolve(gone) == (large, small)


def test_a_customer_without_records_is_retired_still_resolves_and_comes_back_with_its_records() -> None:
    first = history([[1, 2], [3]])
    left = holders(first)[1]
    without = after(first, [[3]], 1)
    assert kinds(without, 2) == [("retired", left, None)]
    assert (without.resolve(left), without.is_live(left)) == ((left,), False)
    back = after(without, [[2], [3]], 2)
    assert holders(back)[2] == left
    assert kinds(back, 3) == [("returned", left, None)]


def test_a_retired_customer_whose_record_comes_back_to_another_was_merged() -> None:
    first = history([[1], [3]], [[3]])
    one, other = holders(history([[1], [3]])).values()
    back = after(first, [[1, 3]], 2)
    assert kinds(back, 3) == [("merged", one, other)]
    assert back.resolve(one) == (other,)


def test_an_id_is_not_used_again_when_its_first_record_starts_another_customer() -> None:
    ledger = history([[1, 2, 3]], [[1], [2, 3]], [[1, 2, 3]], [[1], [2, 3]], [[1, 2, 3]])
    born = [name for kind, name, _ in kinds(ledger) if kind == "created"]
    assert len(born) == 3
    assert len(set(born)) == 3
    for name in born:
        assert ledger.resolve(name)


def test_nothing_is_entered_before_the_last_entry() -> None:
    ledger = after(history([[1], [2]], [[1, 2]]), [[1], [2]], -5)
    assert ledger.events["at"].to_pylist() == sorted(ledger.events["at"].to_pylist())
    assert ledger.at == day(1)


def test_an_id_that_nobody_had_is_refused() -> None:
    with pytest.raises(BadData) as caught:
        history([[1]]).resolve("c0000000000000000")
    assert (caught.value.exit_code, caught.value.first.code) == (65, "identity.unknown_customer")


def test_a_merge_names_the_strongest_evidence_behind_it() -> None:
    rows = [
        {"feed": "crm", "record_id": "1", "other_feed": "crm", "other_record": "2", "rule": "splink", "weight": 3.0},
        {"feed": "crm", "record_id": "3", "other_feed": "crm", "other_record": "1", "rule": "splink", "weight": 9.5},
        {"feed": "crm", "record_id": "2", "other_feed": "crm", "other_record": "3", "rule": "splink", "weight": 99.0},
    ]
    merged = after(history([[1], [2, 3]]), [[1, 2, 3]], 1, pa.Table.from_pylist(rows, schema=EVIDENCE))
    assert [(event.cause, event.weight) for event in merged.history(holders(merged)[1])][-1] == ("splink", 9.5)


def test_the_table_of_past_ids_leads_every_id_that_was_ever_given_to_todays() -> None:
    ledger = history([[1, 2, 3], [4], [5]], [[1], [2, 3], [4]], [[1, 4], [2, 3]])
    whole, four, five = (holders(history([[1, 2, 3], [4], [5]]))[record] for record in (1, 4, 5))
    one = holders(ledger)[1]
    rows = [tuple(row.values()) for row in past_ids(ledger).to_pylist()]
    part = next(name for kind, name, _ in kinds(ledger, 3) if kind == "created")
    assert set(rows) == {
        (whole, whole, 0, True),
        (whole, one, 1, True),
        (four, one, 0, True),
        (five, five, 0, False),
        (part, one, 0, True),
    }
    assert [(row[0], row[2]) for row in rows] == sorted((row[0], row[2]) for row in rows)


def test_an_id_is_given_to_no_two_groups() -> None:
    overlaps = [Overlap(0, "a", 2, 0, 1, 0), Overlap(1, "a", 3, 0, 1, 1), Overlap(0, "b", 1, 0, 2, 0)]
    assert keepers(overlaps) == {1: "a", 0: "b"}
    assert keepers([Overlap(0, "a", 0, 9, 1, 0), Overlap(0, "b", 1, 0, 2, 0)]) == {0: "b"}


def test_a_merge_that_was_undone_leads_the_lost_id_to_itself_alone() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    told = [("merged", "a", "b"), ("merged", "b", "c"), ("undone", "c", "a")]
    found = trace(Change(number, at, *one) for number, one in enumerate(told))
    assert found == {"a": ("a",), "b": ("c", "a"), "c": ("c", "a")}


days = st.lists(st.dictionaries(st.integers(0, 11), st.integers(0, 4), max_size=12), min_size=1, max_size=5)


@settings(max_examples=settings().max_examples // 3)
@given(days)
def test_whatever_happens_no_id_is_reused_every_past_id_resolves_and_ids_change_only_through_events(
    found: list[dict[int, int]],
) -> None:
    ledger, given_ids, before = IdLedger.empty(), set[str](), dict[int, str]()
    ever: dict[str, set[int]] = {}
    for number, grouped in enumerate(found):
        groups = [[r for r, g in grouped.items() if g == label] for label in sorted(set(grouped.values()))]
        old = ledger
        ledger = after(old, groups, number)
        assert ledger.events.slice(0, old.events.num_rows).equals(old.events)
        kept = ["feed", "record_id", "customer_id", "from_at"]
        assert ledger.assignments.select(kept).slice(0, old.assignments.num_rows).equals(old.assignments.select(kept))
        now, events = holders(ledger), kinds(ledger, old.events.num_rows)
        assert sorted(map(sorted, groups)) == sorted(
            sorted(r for r in now if now[r] == name) for name in set(now.values())
        )
        born = [name for kind, name, _ in events if kind == "created"]
        assert len(set(born)) == len(born)
        assert not given_ids & set(born)
        given_ids |= set(born)
        came_back = {name for kind, name, _ in events if kind == "returned"}
        assert set(now.values()) - set(before.values()) == set(born) | came_back
        for name in came_back:  # only to its own records
            assert ever[name] & {r for r in now if now[r] == name}
        went = {(one, other) for kind, one, other in events if kind in ("merged", "split", "moved")}
        for record in now.keys() & before.keys():
            assert now[record] == before[record] or (before[record], now[record]) in went
        for record, name in now.items():
            ever.setdefault(name, set()).add(record)
        live = set(now.values())
        for name in given_ids:
            ends = ledger.resolve(name)
            still = {now[r] for r, was in before.items() if was == name and r in now}
            assert still <= set(ends)
            retired = name not in live and ends == (name,)
            assert retired or live & set(ends) or not any(ledger.is_live(end) for end in ends)
        before = now
        assert after(ledger, groups, number) is ledger
    for name in given_ids:
        assert ledger.resolve(name) == tuple(
            row["customer_id"] for row in past_ids(ledger).to_pylist() if row["past_id"] == name
        )


def test_the_past_answers_as_it_did_then() -> None:
    chance, ledger, answers = random.Random(3), IdLedger.empty(), dict[tuple[str, int], tuple[str, ...]]()
    for number in range(12):
        labels = {record: chance.randrange(5) for record in range(10) if chance.random() < 0.8}
        groups = [[r for r in labels if labels[r] == label] for label in range(5) if label in labels.values()]
        ledger = after(ledger, groups, number)
        names = {name for kind, name, _ in kinds(ledger) if kind == "created"}
        answers |= {(name, number): ledger.resolve(name) for name in names}
    assert len(answers) > 50
    assert all(ledger.resolve(name, as_of=day(number)) == ends for (name, number), ends in answers.items())
