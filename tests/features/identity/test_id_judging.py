"""People's word on ids: judgements, a merge that is undone, and what of it survives the next run."""

from __future__ import annotations

import pytest

from features.base.errors import UsageError
from features.identity.id_judgements import judge, undo
from features.identity.id_ledger import IdLedger, Judgement
from tests.features.identity.ledgers import after, day, history, holders, kinds


def undone(ledger: IdLedger, number: int, at: float = 9) -> IdLedger:
    return undo(ledger, number, by="ann", reason="two people", at=day(at))


def refused(ledger: IdLedger, number: int) -> str:
    with pytest.raises(UsageError) as caught:
        undone(ledger, number)
    assert caught.value.exit_code == 64
    return caught.value.first.code


def test_undoing_a_merge_gives_the_lost_id_back_and_judges_both_sides_never_one() -> None:
    merged = history([[1], [2, 3]], [[1, 2, 3]])
    lost, winner = (holders(history([[1], [2, 3]]))[record] for record in (1, 2))
    ledger = undone(merged, 3)
    assert holders(ledger) == {1: lost, 2: winner, 3: winner}
    assert kinds(ledger, 3) == [("undone", winner, lost)]
    assert ledger.present_judgements() == [
        Judgement("never", ("crm", "1"), ("crm", "2")),
        Judgement("never", ("crm", "1"), ("crm", "3")),
    ]
    assert (ledger.resolve(lost), ledger.resolve(winner)) == ((lost,), (winner, lost))
    assert ledger.resolve(lost, as_of=day(5)) == (winner,)


def test_an_undo_survives_a_run_that_keeps_the_sides_apart() -> None:
    ledger = undone(history([[1], [2, 3]], [[1, 2, 3]]), 3)
    assert after(ledger, [[1], [2, 3]], 10) is ledger


def test_records_that_came_after_the_merge_stay_until_the_next_run_says_where_they_belong() -> None:
    before = history([[1], [2, 3]])
    lost, winner = holders(before)[1], holders(before)[2]
    ledger = undone(after(after(before, [[1, 2, 3]], 1), [[1, 2, 3, 4]], 2), 3)
    assert holders(ledger) == {1: lost, 2: winner, 3: winner, 4: winner}
    assert holders(after(ledger, [[1, 4], [2, 3]], 10))[4] == lost


def test_an_old_merge_is_undone_out_of_what_the_winner_has_become() -> None:
    first = history([[1], [2, 3], [4, 5, 6]])
    one, two, three = (holders(first)[record] for record in (1, 2, 4))
    later = after(after(first, [[1, 2, 3], [4, 5, 6]], 1), [[1, 2, 3, 4, 5, 6]], 2)
    assert [kind for kind, _, _ in kinds(later, 3)] == ["merged", "merged"]
    ledger = undone(later, 4)
    assert kinds(ledger, 5) == [("undone", three if holders(later)[1] == three else two, one)]
    assert ledger.resolve(one) == (one,)
    assert holders(ledger)[1] == one


def test_only_a_merge_that_stands_can_be_undone_and_only_once() -> None:
    merged = history([[1], [2, 3]], [[1, 2, 3]])
    assert refused(merged, 1) == "identity.not_a_merge"
    assert refused(merged, 99) == "identity.not_a_merge"
    assert refused(undone(merged, 3), 3) == "identity.undone_already"
    assert refused(after(merged, [[1], [2, 3]], 2), 3) == "identity.nothing_to_undo"
    assert refused(after(merged, [[2, 3]], 2), 3) == "identity.nothing_to_undo"


def test_the_last_word_on_a_pair_counts() -> None:
    ledger = history([[1], [2]])
    for verdict, one, other in (("never", "1", "2"), ("always", "2", "1")):
        ledger = judge(
            ledger,
            verdict,  # type: ignore[arg-type]
            ("crm", one),
            ("crm", other),
            by="ann",
            reason="met them",
            at=day(3),
        )
    assert ledger.present_judgements() == [Judgement("always", ("crm", "1"), ("crm", "2"))]
    assert [kind for kind, _, _ in kinds(ledger, 2)] == ["judged", "judged"]
    assert ledger.judgements.num_rows == 2
    assert holders(ledger) == holders(history([[1], [2]]))


def test_a_judgement_needs_two_known_records() -> None:
    ledger = history([[1], [2]])
    for other, code in ((("crm", "secret"), "identity.unknown_record"), (("crm", "1"), "identity.same_record")):
        with pytest.raises(UsageError) as caught:
            judge(ledger, "never", ("crm", "1"), other, by="ann", reason="no", at=day(3))
        assert caught.value.first.code == code
        assert "secret" not in str(caught.value)


def test_a_split_along_a_judgement_names_it_as_its_cause() -> None:
    merged = history([[1, 2, 3]])
    told = judge(merged, "never", ("crm", "1"), ("crm", "2"), by="ann", reason="no", at=day(1))
    (split,) = [event for event in after(told, [[1], [2, 3]], 2).history(holders(merged)[1]) if event.kind == "split"]
    assert split.cause == "judged never"
