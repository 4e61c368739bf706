"""Proposals, each from a small world of its own: kinds, keys, times, links, fields, and their reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.database_engine import one_row, open_engine
from features.base.errors import BadData, NextbestError, UsageError
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.config.workspace_files import load_feeds
from features.pipeline.unify import unify
from serving.cli.init_command import new_workspace
from serving.cli.workspace_check import check_workspace

CRM = "account_no,fname,lname,email_addr,dob\n" + "".join(
    f"A{number},Ann{number},Lee{number},ann{number}@example.com,{number % 27 + 1}/02/1980\n" for number in range(40)
)
TILL = "invoice,account,sku,qty,unit_price,sold_at\n" + "".join(
    f"{number},A{number % 40},tea,{number % 3 + 1},2.5,2026-01-0{number % 9 + 1} 10:00:00\n" for number in range(90)
)
PAID = "try_cast(qty as double) * try_cast(unit_price as double)"  # text in a CSV file, whatever it looks like


def proposed(folder: Path, **files: str | bytes) -> FeedsFile:
    """Write the files, propose a workspace for them, see that it checks, and return its feeds."""
    names = []
    for name, content in files.items():
        file = folder / f"{name}.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        names.append(file.name)
    new_workspace(folder / "new", names, Silent(), here=folder)
    workspace = Workspace(folder / "new")
    assert check_workspace(workspace) == []
    return load_feeds(workspace)[0]


def text(folder: Path) -> str:
    return (folder / "new/features/feeds.yaml").read_text(encoding="utf-8")


def test_names_of_columns_become_canonical_fields_and_dates_are_read_as_they_are_written(tmp_path: Path) -> None:
    crm = proposed(tmp_path, crm=CRM).feeds["crm"]
    assert (crm.kind, crm.key, crm.source) == ("customers", "account_no", "../crm.csv")
    assert crm.fields == {
        "first_name": "fname",
        "last_name": "lname",
        "email": "email_addr",
        "birth_date": "dob",
    }
    assert crm.times == {"dob": "day_first"}


def test_what_is_bought_is_linked_to_the_customers_whose_keys_it_holds(tmp_path: Path) -> None:
    till = proposed(tmp_path, crm=CRM, till=TILL).feeds["till"]
    assert (till.kind, till.event, till.key) == ("events", "purchase", "invoice")
    assert till.customer == "crm.account_no = till.account"
    assert till.event_time == "sold_at"
    assert till.timezone == "UTC"
    assert till.fields == {"item": "sku", "quantity": "qty", "amount": PAID}
    assert "100.0% of the rows with a value have one of 'account_no'" in text(tmp_path)


def test_the_result_runs_unchanged(tmp_path: Path) -> None:
    proposed(tmp_path, crm=CRM, till=TILL)
    assert unify(Workspace(tmp_path / "new"), Silent()).customers == 40


def test_customers_that_only_their_purchases_know_are_made_of_them(tmp_path: Path) -> None:
    feeds = proposed(tmp_path, till=TILL).feeds
    assert feeds["till_customers"].kind == "customers"
    assert (feeds["till_customers"].key, feeds["till_customers"].duplicates) == ("account", "keep_first")
    assert feeds["till"].customer == "till_customers.account = till.account"


def test_equal_ids_of_different_people_link_nothing(tmp_path: Path) -> None:
    others = CRM.replace("Lee", "Kay").replace("Ann", "Bob").replace("ann", "bob")
    feeds = proposed(tmp_path, crm=CRM, web=others).feeds
    assert feeds["web"].customer is None
    assert "not linked to crm" in text(tmp_path)


def test_equal_ids_of_the_same_people_are_a_link(tmp_path: Path) -> None:
    assert proposed(tmp_path, crm=CRM, web=CRM).feeds["web"].customer == "crm.account_no = web.account_no"


def test_counting_numbers_that_happen_to_meet_link_nothing(tmp_path: Path) -> None:
    one = "customer_id,plan_level\n" + "".join(f"{number},{number % 4}\n" for number in range(30))
    stores = "store_no,size\n" + "".join(f"{number},{number * 3}\n" for number in range(30))
    feeds = proposed(tmp_path, crm=one, stores=stores).feeds
    assert list(feeds) == ["crm"]
    assert "stores (../stores.csv) is left out" in text(tmp_path)


def test_rows_that_nothing_tells_apart_are_each_a_record(tmp_path: Path) -> None:
    mails = "recency,segment,visit\n" + "".join(
        f"{number % 12},{'ab'[number % 2]},{number % 2}\n" for number in range(60)
    )
    assert proposed(tmp_path, mails=mails).feeds["mails"].key == "row"
    assert unify(Workspace(tmp_path / "new"), Silent()).customers == 60


def test_a_row_is_a_key_for_customers_only() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Feed(source="a.csv", kind="items", key="row")
    assert Feed(source="a.csv", kind="customers", key="row").keys == []
    assert Feed(source="a.csv", kind="customers", key=["row"]).keys == ["row"]


def test_consents_holdings_interactions_items_and_places_are_told_from_events(tmp_path: Path) -> None:
    numbers = range(40)
    crm = "customer_id,first_name,last_name,postcode\n" + "".join(f"C{n},A{n},B{n},YO1{n % 9}\n" for n in numbers)
    consents = "customer_id,purpose,status,given_at\n" + "".join(
        f"C{n},marketing,granted,2026-01-02\n" for n in numbers
    )
    contracts = "contract_no,customer_id,plan,start_date,end_date\n" + "".join(
        f"K{n},C{n},fibre,2025-01-01,2026-01-01\n" for n in numbers
    )
    offers = "customer_id,offer,channel,outcome,shown_at\n" + "".join(f"C{n},tv,web,no,2026-01-03\n" for n in numbers)
    goods = "product_id,name,category\n" + "".join(f"P{n},thing {n},g{n % 3}\n" for n in numbers)
    areas = "postcode,people\n" + "".join(f"YO1{n},{n * 7}\n" for n in range(9))
    feeds = proposed(
        tmp_path, crm=crm, consents=consents, contracts=contracts, offers=offers, goods=goods, areas=areas
    ).feeds
    assert {name: feed.kind for name, feed in feeds.items()} == {
        "crm": "customers",
        "consents": "consents",
        "contracts": "holdings",
        "offers": "interactions",
        "goods": "items",
        "areas": "context",
    }
    assert feeds["contracts"].fields["held_to"] == "end_date"
    assert feeds["offers"].fields["outcome"] == "outcome"
    assert feeds["areas"].fields == {"place": "postcode"}


def test_a_source_about_customers_without_a_time_is_left_out_with_what_is_missing(tmp_path: Path) -> None:
    campaigns = "account_no,campaign\n" + "".join(f"A{n % 40},K{n % 3}\n" for n in range(80))
    assert list(proposed(tmp_path, crm=CRM, campaigns=campaigns).feeds) == ["crm"]
    assert "no column holds a time" in text(tmp_path)


def test_mixed_dates_are_read_each_in_its_way_and_bad_ones_are_left_empty(tmp_path: Path) -> None:
    days = [f"{1940 + n}-02-03" if n % 2 else f"{n % 12 + 15}/{n % 9 + 1}/{1940 + n}" for n in range(79)]
    rows = "".join(f"C{n},A{n},B{n},{day}\n" for n, day in enumerate([*days, "never"]))
    crm = proposed(tmp_path, crm="customer_id,first_name,last_name,dob\n" + rows).feeds["crm"]
    assert crm.fields["birth_date"].startswith("CASE WHEN regexp_matches(cast(dob as varchar),")
    assert "1.2% of the values are no time" in text(tmp_path)
    assert unify(Workspace(tmp_path / "new"), Silent()).customers == 80  # a bad date loses no row
    with open_engine(folders=[tmp_path]) as engine:
        table = Workspace(tmp_path / "new").unified / "personal/golden.parquet"
        assert one_row(engine, f"SELECT count(birth_date) FROM read_parquet('{table}')") == (79,)


def test_what_may_leak_is_named_and_shown_to_no_model(tmp_path: Path) -> None:
    rows = "".join(f"C{n},{n % 5},{n % 2},{n % 97}\n" for n in range(100))
    proposed(tmp_path, crm="customer_id,rooms,churn,churn_score\n" + rows)
    assert "# churn, churn_score: may say as of today" in text(tmp_path)
    assert "churn" not in (tmp_path / "new/features/views.yaml").read_text(encoding="utf-8")
    labels = (tmp_path / "new/training/labels.yaml").read_text(encoding="utf-8")
    assert "field: crm.churn, positive: 1" in labels
    assert "- crm.churn_score" in labels


def test_other_columns_that_identify_people_are_declared_personal(tmp_path: Path) -> None:
    rows = "".join(f"C{n},A{n},B{n},{n:09d},x{n}@example.com\n" for n in range(40))
    crm = proposed(tmp_path, crm="customer_id,first_name,last_name,ssn,backup\n" + rows).feeds["crm"]
    assert crm.fields["email"] == "backup"
    assert crm.fields["national_id"] == "ssn"


def test_another_encoding_delimiter_and_decimal_mark_are_found(tmp_path: Path) -> None:
    rows = "".join(f"K{n};Müller{n};Jörg;{n},50\n" for n in range(40))
    crm = proposed(tmp_path, crm=("kunde;surname;given_name;balance\n" + rows).encode("latin-1")).feeds["crm"]
    assert (crm.key, crm.encoding, crm.decimal) == ("kunde", "latin-1", ",")


def test_no_value_of_a_person_stands_in_what_is_written(tmp_path: Path) -> None:
    proposed(tmp_path, crm=CRM, till=TILL)
    written = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "new").rglob("*.yaml"))
    assert not any(secret in written for secret in ("ann1@example.com", "Ann1", "Lee1", "A17"))


def test_files_with_one_stem_are_two_feeds_named_by_their_folders(tmp_path: Path) -> None:
    for folder in ("sales", "service"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "crm.csv").write_text(CRM, encoding="utf-8")
    new_workspace(tmp_path / "new", ["sales/crm.csv", "service/crm.csv"], Silent(), here=tmp_path)
    assert list(load_feeds(Workspace(tmp_path / "new"))[0].feeds) == ["crm", "service_crm"]


def test_a_folder_is_its_files_and_an_absolute_path_stays_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "crm.csv").write_text(CRM, encoding="utf-8")
    (tmp_path / "data" / "till.csv").write_text(TILL, encoding="utf-8")
    new_workspace(tmp_path / "new", [str(tmp_path / "data")], Silent(), here=tmp_path)
    feeds = load_feeds(Workspace(tmp_path / "new"))[0].feeds
    assert {name: feed.source for name, feed in feeds.items()} == {
        "crm": str(tmp_path / "data/crm.csv"),
        "till": str(tmp_path / "data/till.csv"),
    }


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("nothing.csv", None, UsageError),
        ("empty.csv", b"", BadData),
        ("header.csv", b"customer_id,name\n", BadData),
        ("picture.csv", bytes(range(256)) * 40, NextbestError),
        ("broken.parquet", b"PAR1 and no more", BadData),
        ("page.docx", b"words", BadData),
        ("stars.csv", b"star,colour\nvega,blue\nvega,blue\n" * 3 + b"2026-01-01 10:00:00,red\n", None),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name_and_nothing_is_written(
    name: str, content: bytes | None, kind: type[NextbestError] | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if kind is None:  # rows without ids: each is a customer, as far as anybody can tell
        new_workspace(tmp_path / "new", [name], Silent(), here=tmp_path)
        assert load_feeds(Workspace(tmp_path / "new"))[0].feeds["stars"].key == "row"
        return
    with pytest.raises(kind) as caught:
        new_workspace(tmp_path / "new", [name], Silent(), here=tmp_path)
    assert caught.value.exit_code in (64, 65)
    assert caught.value.first.hint
    assert not (tmp_path / "new").exists()


def test_files_that_name_no_customer_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"2026-01-0{n % 9 + 1} 10:00:00,{n % 2}\n" for n in range(30))
    (tmp_path / "clicks.csv").write_text("timestamp,click\n" + rows, encoding="utf-8")
    with pytest.raises(BadData, match="no column of the files names a customer"):
        new_workspace(tmp_path / "new", ["clicks.csv"], Silent(), here=tmp_path)
