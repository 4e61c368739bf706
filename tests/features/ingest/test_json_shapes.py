"""JSON as systems write it: lists of one, lists of attributes, lists of rows inside other objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.base.errors import BadData
from tests.features.tiny import Staged, staged


def rows(root: Path, *objects: dict[str, Any], **settings: Any) -> Staged:
    lines = [json.dumps({"who": "ann", "at": "2026-01-01", **row}) + "\n" for row in objects]
    return staged(root, "".join(lines), file="till.jsonl", **settings)


def test_a_list_of_one_is_its_element(tmp_path: Path) -> None:
    mails = [{"email": [{"id": "a@b.example", "primary": True}]}, {"email": []}]
    found = rows(tmp_path, *({"identityMap": mail, "contacts": {"contacts": [{"id": "c1"}]}} for mail in mails))
    assert found.column("till.identity_map_email_id") == ["a@b.example", None]
    assert found.column("till.contacts_contacts_id") == ["c1", "c1"]


def test_a_list_that_is_longer_in_one_row_stays_whole_in_all(tmp_path: Path) -> None:
    found = rows(tmp_path, {"tags": ["a"]}, {"tags": ["a", "b"]})
    assert found.column("till.tags") == ['["a"]', '["a", "b"]']


def test_a_list_of_attributes_gives_a_column_for_each(tmp_path: Path) -> None:
    def value(**members: Any) -> dict[str, Any]:
        return {"string_value": None, "int_value": None, **members}

    page, session = (
        {"key": "page", "value": value(string_value="/shop")},
        {"key": "ga_id", "value": value(int_value="7")},
    )
    found = rows(tmp_path, {"event_params": [session, page]}, {"event_params": [page]}, {"event_params": []})
    assert found.column("till.event_params_page") == ["/shop", "/shop", None]
    assert found.column("till.event_params_ga_id") == [7, None, None]


def test_custom_fields_are_attributes(tmp_path: Path) -> None:
    fields = [[{"id": "colour", "value": "red"}], [{"id": "colour", "value": True}]]
    assert rows(tmp_path, *({"custom": one} for one in fields)).column("till.custom_colour") == ["red", "true"]


def test_the_same_attribute_twice_in_a_row_stays_text(tmp_path: Path) -> None:
    twice = [{"key": "page", "value": 1}, {"key": "page", "value": 2}]
    assert json.loads(rows(tmp_path, {"params": twice}).column("till.params")[0]) == [
        {"key": "page", "value": "1"},
        {"key": "page", "value": "2"},
    ]


def test_rows_are_found_inside_other_objects(tmp_path: Path) -> None:
    row = {"who": "ann", "at": "2026-01-01"}
    for document in ({"data": {"orders": [row, row]}, "page": {"n": 1}}, [{"orders": [row, row]}]):
        assert staged(tmp_path, json.dumps(document), file="till.json").feed.rows == 2


def test_epochs_of_json_are_times(tmp_path: Path) -> None:
    found = rows(tmp_path, {"at": 1790237287}, {"at": 1790237288})
    assert [moment.timestamp() for moment in found.column("event_time")] == [1790237287, 1790237288]


CUSTOMERS: dict[str, Any] = {
    "kind": "customers",
    "key": "id",
    "fields": {"last_name": "name"},
    **dict.fromkeys(("event", "event_time", "customer")),
}


def test_one_customer_with_orders_is_a_customer(tmp_path: Path) -> None:
    cid = {"id": 3, "name": "Cid", "orders": [{"id": 72}, {"id": 73}]}
    page = [{"page": 1, "has_more": False, "data": [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]}]
    for name, document, records in (("list", [cid], ["3"]), ("one", cid, ["3"]), ("page", page, ["1", "2"])):
        (tmp_path / name).mkdir()
        found = staged(tmp_path / name, json.dumps(document), file="d.json", **CUSTOMERS)
        assert found.column("record_id") == records


def test_an_object_that_may_be_a_row_or_hold_the_rows_is_refused(tmp_path: Path) -> None:
    document = {"id": 3, "name": "Cid", "items": [{"id": 72, "name": "Tea"}, {"id": 73, "name": "Cup"}]}
    with pytest.raises(BadData, match="is one object with the feed's columns"):
        staged(tmp_path, json.dumps(document), file="d.json", **CUSTOMERS)
    assert staged(tmp_path, file="d.json", **CUSTOMERS, rows_at="items").feed.rows == 2


@pytest.mark.parametrize("decimal", [None, ","])
def test_a_number_is_no_text_with_a_decimal_comma(tmp_path: Path, decimal: str | None) -> None:
    values: list[tuple[Any, Any]] = [(1.234, "12,50"), ("2,75", "7,25"), (1500, "1.204,90")]
    objects = [{"who": "ann", "at": "2026-01-01", "paid": a, "rate": 1.125, "was": b} for a, b in values]
    found = rows(tmp_path, *objects, fields={"amount": "paid", "quantity": "rate"}, decimal=decimal)
    assert found.column("amount") == [1.234, 2.75, 1500]
    assert found.column("quantity") == [1.125, 1.125, 1.125]
    assert found.column("till.was") == [12.5, 7.25, 1204.9]


def test_texts_that_no_value_decides_are_refused_beside_numbers(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        rows(tmp_path, {"who": "ann", "at": "2026-01-01", "paid": "1.500", "rate": 1.5}, fields={"amount": "paid"})
    assert caught.value.first.code == "feed.decimal"
