"""Weighing pairs of records: what joins two people's records, and what keeps people of one home apart."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.base.database_engine import open_engine
from features.base.errors import BadConfiguration, BadData, StorageFailure
from features.base.workspace import Workspace
from features.config.feed import Feed
from features.config.identity_settings import Identity
from features.config.workspace_files import load_feeds
from features.identity.judgements import Judgements, read_judgements
from features.identity.matcher import MODEL, Matcher
from features.identity.records import load_records
from features.identity.resolve import Resolution, resolve
from features.ingest.staging import stage
from tests.features.tiny import company, lines

HEAD = "id,first,last,full,mail,tel,born,street,zip,town,ssn"
FIELDS = {
    "first_name": "first",
    "last_name": "last",
    "full_name": "full",
    "email": "mail",
    "phone": "tel",
    "birth_date": "born",
    "street": "street",
    "postcode": "zip",
    "city": "town",
    "national_id": "ssn",
}
FIRST = ("Ann", "Bertram", "Cecily", "Dougal", "Edwina", "Farouk", "Gwendolen", "Hamish", "Imogen", "Jocelyn")
LAST = ("Ashdown", "Birkett", "Colquhoun", "Drummond", "Eastwick", "Fothergill", "Gladwell", "Hathersage", "Inchbald")


def crowd() -> list[str]:
    """Return 90 strangers, each on two records that differ a little."""
    rows = []
    for n, (first, last) in enumerate((first, last) for first in FIRST for last in LAST):
        born = f"19{40 + n % 50:02d}-{1 + n % 12:02d}-{1 + n % 28:02d}"
        home = f"{n + 1} Mill Road,AB{n // 10} {n % 10}CD,Larkton"
        rows.append(f"a{n:02d},{first},{last},,{first}.{last}@x.org,07700900{n:03d},{born},{home},")
        rows.append(f"b{n:02d},{first},{last}{'e' if n % 3 == 0 else ''},,,07700900{n:03d},{born},{home},")
    return rows


def resolved(root: Path, rows: list[str], judged: Judgements | None = None, **identity: Any) -> Resolution:
    (root / "crm.csv").write_text(lines(HEAD, rows), encoding="utf-8")
    feeds = {"crm": Feed(source="crm.csv", kind="customers", key="id", fields=FIELDS)}
    stage("crm", feeds["crm"], root=root, folder=root / "staged")
    declared = Identity.model_validate({"rules": "people", **identity})
    with open_engine(folders=[root]) as engine:
        return resolve(engine, feeds, declared, root / "staged", judged=judged or Judgements())


def group_of(found: Resolution, record: str) -> set[str]:
    rows = found.partition.to_pylist()
    (group,) = {row["group"] for row in rows if row["record_id"] == record}
    return {row["record_id"] for row in rows if row["group"] == group}


def test_people_are_found_again_behind_swapped_names_typing_errors_and_turned_dates(tmp_path: Path) -> None:
    ann = "7 Elm Grove,QX1 1ZZ,Larkton,"
    found = resolved(
        tmp_path,
        [
            *crowd(),
            f"n1,Philippa,Winterbourne,,,,1971-04-09,{ann}",
            f"n2,Winterbourne,Philippa,,,,1971-04-09,{ann}",
            f"n3,Phillipa,Winterborne,,,,1971-09-04,{ann}",
            f'n4,,,"WINTERBOURNE, Mrs Philippa",,,1971-04-09,{ann}',
        ],
    )
    assert group_of(found, "n1") == {"n1", "n2", "n3", "n4"}
    assert group_of(found, "a00") == {"a00", "b00"}
    assert found.customers == 91


def test_people_of_one_home_stay_two_customers(tmp_path: Path) -> None:
    home = "9 Elm Grove,QX1 1ZZ,Larkton,"
    found = resolved(
        tmp_path,
        [
            *crowd(),
            f"n1,Philippa,Winterbourne,,,07700911911,1971-04-09,{home}",
            f"n2,Rupert,Winterbourne,,,07700911911,1969-12-30,{home}",
            f"n3,,Winterbourne,,,07700911911,1971-04-09,{home}",
        ],
    )
    assert group_of(found, "n1") == {"n1", "n3"}
    assert group_of(found, "n2") == {"n2"}


def test_the_same_records_give_the_same_edges_and_weights(tmp_path: Path) -> None:
    once, again = resolved(tmp_path, crowd()), resolved(tmp_path, crowd()[::-1])
    assert once.edges.num_rows > 80
    assert once.edges.equals(again.edges)
    assert once.partition["group"].equals(again.partition["group"])


def test_judgements_and_guards_bind_weighed_matches(tmp_path: Path) -> None:
    judged = Judgements(always=(("crm:a00", "crm:a01"),), never=(("crm:a02", "crm:b02"),))
    found = resolved(tmp_path, crowd(), judged)
    assert group_of(found, "a00") == {"a00", "b00", "a01", "b01"}
    assert group_of(found, "a02") == {"a02"}
    assert [row["reason"] for row in found.review.to_pylist()] == ["never"]
    alone = resolved(tmp_path, crowd(), at_most=1)
    assert alone.customers == 180
    assert set(alone.review["reason"].to_pylist()) == {"at_most"}


def test_two_values_of_an_exclusive_field_are_held_for_review(tmp_path: Path) -> None:
    row = "Philippa,Winterbourne,,p@w.org,07700911911,1971-04-09,9 Elm Grove,QX1 1ZZ,Larkton"
    rows = [*crowd(), f"n1,{row},AA-1", f"n2,{row},aa1", f"n3,{row},AA2"]
    found = resolved(tmp_path, rows, exclusive=["national_id"], comparisons={"national_id": "none"})
    assert group_of(found, "n1") == {"n1", "n2"}
    assert set(found.review["reason"].to_pylist()) == {"exclusive: national_id"}


def test_a_kept_matcher_weighs_as_before_and_only_pairs_with_a_new_record(tmp_path: Path) -> None:
    resolved(tmp_path, crowd())
    feeds = {"crm": Feed(source="crm.csv", kind="customers", key="id", fields=FIELDS)}
    with open_engine(folders=[tmp_path]) as engine:
        records = load_records(engine, feeds, Identity(rules="people"), tmp_path / "staged")
        matcher = Matcher.fit(engine, records, Identity(rules="people"))
        matcher.save(tmp_path / "kept")
        kept = Matcher.load(tmp_path / "kept")
        full, left_out = matcher.edges(engine)
        assert left_out == 0
        assert kept.edges(engine)[0].equals(full)
        new = np.zeros(records.table.num_rows, dtype=bool)
        new[[0, 5]] = True
        part, _ = kept.edges(engine, new=new.tolist())
        wanted = [row for row in full.to_pylist() if new[row["left"]] or new[row["right"]]]
        assert wanted
        assert part.to_pylist() == wanted
        one = wanted[0]
        steps = kept.waterfall(engine, one["right"], one["left"])
        assert steps[0]["column_name"] == "Prior"
        assert steps[-1]["column_name"] == "Final score"
        total = sum(step["log2_bayes_factor"] for step in steps[:-1])
        assert steps[-1]["log2_bayes_factor"] == pytest.approx(total)


def test_a_damaged_model_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / MODEL).write_text('{"version": 0}')
    with pytest.raises(StorageFailure, match="kept model of identity"):
        Matcher.load(tmp_path)


def test_labels_teach_the_weights(tmp_path: Path) -> None:
    labels = tuple((f"crm:a{n:02d}", f"crm:b{n:02d}", True) for n in range(90))
    plain = resolved(tmp_path, crowd()).matcher
    taught = resolved(tmp_path, crowd(), Judgements(labels=labels)).matcher
    assert plain is not None
    assert taught is not None
    assert taught.m["family"][1] > plain.m["family"][1]  # a third of them differ by one letter


def test_a_preset_without_anything_to_compare_says_what_to_map(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="nothing to compare"):
        resolved(tmp_path, ["1,,,,,,,,,,", "2,,,,,,,,,,"])


def test_nothing_about_people_is_logged_or_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        resolved(tmp_path, crowd())
    assert "birkett" not in (caplog.text + "".join(capfd.readouterr())).lower()


@pytest.mark.parametrize(
    ("identity", "fault"),
    [
        ("{rules: peple}", "identity.rules"),
        ("{rules: people, comparisons: {first_nme: name}}", "did you mean 'first_name'"),
        ("{rules: people, comparisons: {first_name: fuzzy}}", "identity.comparisons.first_name"),
        ("{rules: people, exclusive: [cmr.id]}", "did you mean 'crm'"),
        ("{rules: people, threshhold: 0.9}", "did you mean 'threshold'"),
        ("{rules: people, threshold: 1.5}", "identity.threshold"),
        ("{rules: exact, comparisons: {first_name: name}}", "compare nothing"),
        ("{rules: declared}", "need comparisons"),
        ("{rules: people, never: [[crm, crm:2]]}", r"\[feed:key, feed:key\]"),
        ("{rules: people, always: [[crm:1, crm:1]]}", "paired with itself"),
        ("{rules: people, always: [[shop:1, crm:1]]}", "not a feed of customers"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(tmp_path: Path, identity: str, fault: str) -> None:
    feeds = f"feeds:\n  crm: {{source: crm.csv, kind: customers, key: id}}\nidentity: {identity}\n"
    workspace: Workspace = company(tmp_path, feeds=feeds)
    with pytest.raises(BadConfiguration, match=fault):
        load_feeds(workspace)


def test_judgements_are_read_from_files_and_a_bad_row_is_placed_without_its_value(tmp_path: Path) -> None:
    (tmp_path / "never.csv").write_text("left,right\ncrm:1,crm:2\n")
    (tmp_path / "labels.csv").write_text("left,right,match\ncrm:1,crm:2,yes\ncrm:3,crm:4,0\n")
    identity = Identity(rules="people", never="never.csv", labels="labels.csv", always=(("crm:5", "crm:6"),))
    judged = read_judgements(identity, tmp_path)
    assert judged.never == (("crm:1", "crm:2"),)
    assert judged.labels == (("crm:1", "crm:2", True), ("crm:3", "crm:4", False))
    (tmp_path / "labels.csv").write_text("left,right,match\ncrm:1,crm:2,ann@x.org\n")
    with pytest.raises(BadData) as caught:
        read_judgements(identity, tmp_path)
    assert caught.value.first.where == "labels.csv, row 2, column match"
    assert "ann@x.org" not in str(caught.value)
    (tmp_path / "never.csv").write_text("left,right\ncrm:5,crm:6\n")
    with pytest.raises(BadConfiguration, match="always and under never"):
        read_judgements(Identity(rules="people", never="never.csv", always=(("crm:6", "crm:5"),)), tmp_path)
    with pytest.raises(BadConfiguration, match="cannot be read"):
        read_judgements(Identity(rules="people", never="gone.csv"), tmp_path)
