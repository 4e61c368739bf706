"""Exports of systems that no rule was written for: what repeats, meets and adds up decides, whatever names say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.feeds_file import FeedsFile
from features.config.workspace_files import load_feeds
from features.consent.table_counts import count_tables
from features.onboarding.words import concepts
from features.pipeline.unify import unify
from serving.cli.init_command import init, new_workspace
from serving.cli.workspace_check import check_workspace
from training.labels.label_settings import load_labels

FIRST, LAST = ("Alma", "Bruno", "Carla", "Dieter", "Elif"), ("Engel", "Holm", "Novak", "Petit")
NAMES = [f"{FIRST[n % 5]} {LAST[n % 4]}" for n in range(20)]
DAYS = [f"2026-{1 + n % 9:02d}-{1 + n % 28:02d}" for n in range(60)]


def csv(header: str, rows: Sequence[Sequence[object]], mark: str = ";") -> str:
    return "\n".join([header, *(mark.join(str(cell) for cell in row) for row in rows)]) + "\n"


def proposed(folder: Path, **files: str) -> FeedsFile:
    for name, text in files.items():
        ending = ".json" if text[:1] in "[{" else ".csv"
        (folder / f"{name}{ending}").write_text(text, encoding="utf-8")
    new_workspace(folder / "new", [file.name for file in sorted(folder.glob("*.*"))], Silent(), here=folder)
    return load_feeds(Workspace(folder / "new"))[0]


def event_total(folder: Path) -> tuple[int, float]:
    workspace = Workspace(folder / "new")
    unify(workspace, Silent())
    found = count_tables(workspace, load_feeds(workspace)[0].purposes)["events"]
    return found["rows"], round(found["amount"] or 0, 2)


def test_a_word_in_the_plural_means_what_it_means_in_the_singular() -> None:
    assert "discount" in concepts("total_discounts")
    assert "optout" in concepts("Do Not Contact")
    assert "optout" not in concepts("(Do Not Modify) Modified On")


def test_an_amount_that_no_name_gives_away_is_the_column_of_fractions_beside_a_currency(tmp_path: Path) -> None:
    rows = [(f"{7 + n:06d}", DAYS[n], f"{n}12,50" + "-" * (n % 9 == 0), "EUR", f"K{n % 20}") for n in range(1, 60)]
    people = [(f"K{n}", NAMES[n], f"{n}@mail.example") for n in range(20)]
    file = proposed(tmp_path, kopf=csv("VBELX;AUDAT;NTWRX;WAERX;KUNNX", rows), kna=csv("KUNNX;NAME1;SMTPX", people))
    assert file.feeds["kna"].key == "KUNNX"  # the first code that is another one on every row
    assert file.feeds["kopf"].fields["amount"] == "NTWRX"
    paid = sum((n * 100 + 12.5) * (-1 if n % 9 == 0 else 1) for n in range(1, 60))
    assert event_total(tmp_path) == (59, paid)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("total_discounts,total_paid,total_items", "total_paid"),
        ("Total Shipped,Order Total (inc tax),Tax Total", "Order Total (inc tax)"),
        ("Total HT,Total TTC,Total TVA", "Total TTC"),
    ],
)
def test_the_total_is_no_count_no_zero_and_no_tax(tmp_path: Path, header: str, taken: str) -> None:
    values = {"total_discounts": "0.00", "Total Shipped": "2", "total_items": "3", "Tax Total": "1.10"}
    rows = [(n, f"C{n % 20}", DAYS[n], *(values.get(name, f"{n}.75") for name in header.split(","))) for n in range(60)]
    file = proposed(tmp_path, orders=csv(f"order_id,customer_id,order_date,{header}", rows, ","))
    assert file.feeds["orders"].fields["amount"] == taken


def test_what_went_out_counts_against_what_came_in(tmp_path: Path) -> None:
    two = [(n, f"s{n % 20}", DAYS[n], "" if n % 3 else "5.50", "9.25" if n % 3 else "") for n in range(60)]
    proposed(tmp_path, batch=csv("Payment Ref,Shopper,Creation Date,Gross Debit,Gross Credit", two, ","))
    assert event_total(tmp_path) == (60, 40 * 9.25 - 20 * 5.5)


def test_a_column_of_debit_and_credit_gives_the_sign(tmp_path: Path) -> None:
    rows = [
        (DAYS[n], f"NL{10 + n % 20}RABO03000000{n % 20:02d}", "Af" if n % 4 == 0 else "Bij", "7,50") for n in range(60)
    ]
    proposed(tmp_path, afschrift=csv("Datum;Tegenrekening;Af Bij;Bedrag", rows))
    assert event_total(tmp_path) == (60, 45 * 7.5 - 15 * 7.5)


def test_the_symbol_of_the_amounts_gives_the_currency(tmp_path: Path) -> None:
    rows = [(n, f"C{n % 20}", DAYS[n], f'"${n + 1},204.90"') for n in range(60)]
    file = proposed(tmp_path, sales=csv("sale_id,customer_id,sale_date,total", rows, ","))
    assert file.company.currency == "USD"


def test_counting_numbers_meet_where_the_records_hold_the_same_names(tmp_path: Path) -> None:
    people = [(n + 1, NAMES[n], f"{n}@mail.example") for n in range(20)]
    bills = [(900 + n, DAYS[n], n % 20 + 1, NAMES[n % 20], f"{n}.50") for n in range(60)]
    file = proposed(
        tmp_path, leute=csv("LFDNR;Name;E-Mail", people), bills=csv("invoice_no;date;debnr;wer;amount", bills)
    )
    assert file.feeds["bills"].customer == "leute.LFDNR = bills.debnr"


def test_counting_numbers_with_leading_zeros_meet_where_the_names_do(tmp_path: Path) -> None:
    people = [(n + 1, NAMES[n], f"{n}@mail.example") for n in range(20)]
    sales = [(f"{450 + n:06d}", DAYS[n], f"{n % 20 + 1:010d}", NAMES[n % 20], f"{n}.50") for n in range(60)]
    file = proposed(
        tmp_path, debitoren=csv("LFDNR;Name;E-Mail", people), sales=csv("order_no;date;auftrag;wer;amount", sales)
    )
    assert file.feeds["sales"].customer == "debitoren.LFDNR = sales.auftrag_as_linked"


def test_a_file_of_amounts_that_is_left_out_is_warned_of(tmp_path: Path) -> None:
    people = [(n + 1, NAMES[n], f"{n}@mail.example") for n in range(20)]
    sales = [(f"S-{n}", DAYS[n], f"{n}.50") for n in range(60)]
    for name, text in (("crm", csv("contact_id;Name;E-Mail", people)), ("till", csv("belegx;date;amount", sales))):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    proposal, _ = new_workspace(tmp_path / "new", ["crm.csv", "till.csv"], Silent(), here=tmp_path)
    assert [warning for warning in proposal.warnings if "is left out, though it has amount and date" in warning]


def test_ids_that_begin_with_an_underscore_are_ids(tmp_path: Path) -> None:
    people = [(f"__export__.partner_{n}", NAMES[n], f"{n}@mail.example") for n in range(20)]
    orders = [(f"S{n}", DAYS[n], f"__export__.partner_{n % 20}", f"{n}.50") for n in range(60)]
    file = proposed(
        tmp_path, people=csv("id;name;email", people), orders=csv("name;date_order;partner_id;amount_total", orders)
    )
    assert file.feeds["orders"].customer == "people.id = orders.partner_id"


def test_versions_of_a_record_are_one_customer_and_its_contracts_are_held(tmp_path: Path) -> None:
    holders = [(4000 + n, "2025-01-01", "2026-01-01" if n % 3 == 0 else "9999-12-31", NAMES[n], n) for n in range(20)]
    holders += [(4000 + n, "2026-01-01", "9999-12-31", NAMES[n], 99) for n in range(0, 20, 3)]
    policies = [
        (f"P-{n}", 4000 + n % 20, "HOME", "2025-02-01", "9999-12-31" if n % 4 else "2026-02-01") for n in range(40)
    ]
    file = proposed(
        tmp_path,
        holders=csv("holder_no;valid_from;valid_to;name;town", holders),
        policies=csv("policy_no;holder_no;product;start_date;end_date", policies),
    )
    assert (file.feeds["holders"].key, file.feeds["holders"].updated_at) == (["holder_no", "valid_from"], "valid_from")
    policy = file.feeds["policies"]
    assert (policy.kind, policy.customer) == ("holdings", "holders.holder_no = policies.holder_no")
    assert (policy.fields["held_from"], policy.fields["held_to"]) == ("start_date", "end_date")


def test_a_date_that_another_reading_puts_years_ahead_is_decided(tmp_path: Path) -> None:
    rows = [(f"F{n}", f"{1 + n % 28:02d}/{1 + n % 9:02d}/26", f"CL{n % 20}", f"{n}.50") for n in range(1, 60)]
    rows += [("F99", "31/10/26", "CL1", "3.50")]
    file = proposed(tmp_path, factures=csv("facture_id,date,client,total", rows, ","))
    assert file.feeds["factures"].times == {"date": "day_first"}


@pytest.mark.parametrize("name", ["No enviar publicidad", "Do not allow Bulk Emails", "Keine Werbung zusenden"])
def test_an_opt_out_in_other_words_is_one(tmp_path: Path, name: str) -> None:
    words = ("Do Not Allow", "Allow") if "allow" in name else ("x", "")
    rows = [(f"C-{n}", f"{n}@mail.example", words[n % 4 > 0]) for n in range(40)]
    proposed(tmp_path, crm=csv(f"contact_id;email;{name}", rows))
    workspace = Workspace(tmp_path / "new")
    unify(workspace, Silent())
    status = count_tables(workspace, load_feeds(workspace)[0].purposes)["consents"]["by_status"]
    assert status["withdrawn"] == 10
    assert "granted" not in status


def test_a_word_about_marketing_that_is_not_understood_takes_it_off_legitimate_interest(tmp_path: Path) -> None:
    rows = [(f"C-{n}", f"{n}@mail.example", "yes" if n % 4 else "no") for n in range(40)]
    assert proposed(tmp_path, crm=csv("contact_id;email;no frobnicate publicidad", rows)).purposes[
        "marketing"
    ].basis == ("consent")


def test_answers_of_people_who_answer_once_are_what_they_did(tmp_path: Path) -> None:
    rows = [
        (700 + n, f"{DAYS[n]} 10:0{n % 6}:11", f"{DAYS[n]} 10:1{n % 6}:40", f"{n}@mail.example", NAMES[n], "Good")
        for n in range(20)
    ]
    file = proposed(tmp_path, satisfaction=csv("Respondent ID;Start Date;End Date;Email;Name;How was it?", rows))
    assert {feed.kind for feed in file.feeds.values()} == {"customers", "events"}


def test_fractions_of_json_beside_texts_with_commas_are_each_read_as_they_are_meant(tmp_path: Path) -> None:
    rows = [
        {"order_id": f"o{n}", "customer_id": f"c{n % 20}", "date": DAYS[n], "total": 1.234 if n % 3 else "1.204,50"}
        for n in range(60)
    ]
    proposed(tmp_path, orders=json.dumps(rows))
    assert event_total(tmp_path) == (60, round(40 * 1.234 + 20 * 1204.5, 2))


def test_a_file_of_one_order_with_several_lines_is_one_purchase(tmp_path: Path) -> None:
    lines = [("#1001", "7@mail.example", "2026-02-03 10:00:00", "37.50", "mug", 2, "12.50")]
    lines += [("#1001", "", "", "", item, 1, price) for item, price in (("cap", "7.50"), ("pen", "5.00"))]
    header = "Name,Email,Created at,Total,Lineitem name,Lineitem quantity,Lineitem price"
    proposed(tmp_path, orders_export=csv(header, lines, ","))
    assert event_total(tmp_path) == (1, 37.5)


def test_without_events_no_model_is_proposed_and_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [(f"C-{n}", NAMES[n], f"{n}@mail.example") for n in range(20)]
    (tmp_path / "crm.csv").write_text(csv("contact_id;name;email", people), encoding="utf-8")
    init("new", sources=["crm.csv"], workspace=tmp_path)
    said = " ".join("".join(capsys.readouterr()).split())
    assert "missing for decisions: no feed has events and no column records an outcome" in said
    workspace = Workspace(tmp_path / "new")
    assert load_labels(workspace)[0].models == {}
    assert check_workspace(workspace) == []
    offers = workspace.file("serving/offers.yaml").read_text("utf-8")
    assert [purpose in offers for purpose in ("service", "retention", "marketing")] == [True] * 3


def test_few_customers_and_days_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(n, f"C{n % 20}", f"2026-03-{1 + n % 28:02d}", f"{n}.50") for n in range(60)]
    (tmp_path / "orders.csv").write_text(csv("order_id;customer_id;order_date;total", rows), encoding="utf-8")
    init("new", sources=["orders.csv"], workspace=tmp_path)
    said = " ".join("".join(capsys.readouterr()).split())
    assert "missing for decisions: orders spans 27 days" in said
    assert "20 customers do something in orders" in said
    assert "no column holds an e-mail or a telephone" in said
