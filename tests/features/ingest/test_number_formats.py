"""Numbers and money in every convention: one mark a file, never guessed for some rows, one currency in a sum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.base.errors import BadData
from features.config.company import Company
from features.config.feed import Feed
from features.ingest.staging import stage
from tests.features.tiny import staged, table


def amounts(root: Path, *written: str, **settings: Any) -> list[float | None]:
    body = "who;at;amount\n" + "".join(f'p{n};2026-01-01;"{text}"\n' for n, text in enumerate(written))
    return staged(root, body, fields={"amount": "amount"}, **settings).column("amount")


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (("7.50", "1,204.90", "12,000.00"), [7.5, 1204.9, 12000]),
        (("7,50", "1.204,90", "750"), [7.5, 1204.9, 750]),
        (("7,50", "1 204,90", "12\u202f000,00"), [7.5, 1204.9, 12000]),
        (("7.50", "1'204.90", "1’204’000"), [7.5, 1204.9, 1204000]),
        (("1,23,456.78",), [123456.78]),
        (("7.50", "7.50-", "(30.00)", "-1.00", "−2.00"), [7.5, -7.5, -30, -1, -2]),
        (("1.234.567", "750", "1.500"), [1234567, 750, 1500]),
        (("12,50 €", "€ 3,00", "-€1,50", "EUR 2"), [12.5, 3, -1.5, 2]),
        (("1 000", "2 500"), [1000, 2500]),
    ],
)
def test_a_number_is_read_as_it_is_written(tmp_path: Path, written: tuple[str, ...], numbers: list[float]) -> None:
    assert amounts(tmp_path, *written) == numbers


def test_marks_that_no_row_decides_are_refused_with_both_readings(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        amounts(tmp_path, "750", "1.500", "2.250")
    assert caught.value.first.code == "feed.decimal"
    assert "'amount'" in caught.value.first.message
    assert "1.500" not in str(caught.value)
    assert amounts(tmp_path, "750", "1.500", "2.250", decimal=",") == [750, 1500, 2250]
    assert amounts(tmp_path, "750", "1.500", "2.250", decimal=".") == [750, 1.5, 2.25]


def test_another_column_of_the_file_decides(tmp_path: Path) -> None:
    body = "who;at;pieces;amount\nann;2026-01-01;12,000;4.811,01\n"
    found = staged(tmp_path, body, fields={"amount": "amount", "quantity": "pieces"})
    assert (found.column("quantity"), found.column("amount")) == ([12], [4811.01])


def test_an_attribute_that_could_be_two_numbers_stays_text(tmp_path: Path) -> None:
    found = staged(tmp_path, "who;at;size\nann;2026-01-01;1.500\nbob;2026-01-01;750\n")
    assert found.column("till.size") == ["1.500", "750"]


def test_telephones_parted_by_spaces_are_no_numbers(tmp_path: Path) -> None:
    found = staged(tmp_path, "who;at;call\nann;2026-01-01;555 123 456\n")
    assert found.column("till.call") == ["555 123 456"]


@pytest.mark.parametrize("codes", [["2024_01", "2024_02"], ["12E3", "7e11"], ["1_000", "2_000"]])
def test_codes_that_the_engine_would_read_as_numbers_stay_text(tmp_path: Path, codes: list[str]) -> None:
    rows = "".join(f"p{n};2026-01-01;{code}\n" for n, code in enumerate(codes))
    assert staged(tmp_path, f"who;at;batch\n{rows}").column("till.batch") == codes


def test_numbers_with_exponents_as_programs_write_them_are_numbers(tmp_path: Path) -> None:
    found = staged(tmp_path, "who;at;size\nann;2026-01-01;1e+05\nbob;2026-01-01;2.5e-1\n")
    assert found.column("till.size") == [100_000, 0.25]


# ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def paid(root: Path, body: str, company: Company, **settings: Any) -> tuple[list[float], dict[str, int]]:
    (root / "till.csv").write_text(body)
    declared: dict[str, Any] = {
        "source": "till.csv",
        "kind": "events",
        "event": "purchase",
        "event_time": "at",
        "timezone": "UTC",
    }
    declared |= {"customer": "crm.id = till.who", "fields": {"amount": "amount"}, "reject_above": 0.9, **settings}
    found = stage("till", Feed.model_validate(declared), root=root, folder=root / "staged", company=company)
    return [row["amount"] for row in table(root / "staged" / "till" / "rows.parquet")], found.rejected


MIXED = "who,at,amount,money\nann,2026-01-01,10,EUR\nbob,2026-01-01,20,usd\ncleo,2026-01-01,30,GBP\n"


def test_other_money_is_converted_by_declared_rates_and_never_added_without(tmp_path: Path) -> None:
    company = Company(currency="EUR", rates={"USD": 0.9})
    assert paid(tmp_path, MIXED, company) == (
        [10, 18],
        {"amount is not in EUR and company.rates has no rate for its currency": 1},
    )
    assert paid(tmp_path, MIXED, company, currency="EUR")[0] == [10, 20, 30]  # declared: the column means another thing


def test_the_symbol_beside_an_amount_is_its_currency(tmp_path: Path) -> None:
    body = 'who,at,amount\nann,2026-01-01,"$1,500.00"\nbob,2026-01-01,$2.50\ncleo,2026-01-01,£3.00\n'
    assert paid(tmp_path, body, Company(currency="USD", rates={"GBP": 1.25}))[0] == [1500, 2.5, 3.75]
    assert paid(tmp_path, body, Company(currency="USD"))[0] == [1500, 2.5]


def test_amounts_in_the_smallest_unit_are_declared(tmp_path: Path) -> None:
    body = "who,at,amount,money\nann,2026-01-01,2990,eur\nbob,2026-01-01,500,jpy\n"
    company = Company(currency="EUR", rates={"JPY": 0.01})
    assert paid(tmp_path, body, company, minor_units=["amount"])[0] == [29.9, 5]


def test_an_amount_without_a_currency_is_the_companys_where_no_row_has_another(tmp_path: Path) -> None:
    body = "who,at,amount,money\nann,2026-01-01,10,USD\nbob,2026-01-01,20,\ncleo,2026-01-01,30,EUR\n"
    company = Company(currency="EUR", rates={"USD": 0.5})
    assert paid(tmp_path, body, company) == (
        [5, 30],
        {"amount has no currency, and other rows have other currencies than EUR": 1},
    )
    assert paid(tmp_path, body.replace("USD", "EUR"), company) == ([10, 20, 30], {})


def test_odd_codes_are_kept_aside_and_a_second_column_of_codes_is_refused(tmp_path: Path) -> None:
    company = Company(currency="EUR", rates={"USD": 0.9})
    amounts, rejected = paid(tmp_path, MIXED.replace("GBP", "N/A"), company)
    assert (amounts, sum(rejected.values())) == ([10, 18], 1)
    two = "who,at,amount,money,shown\nann,2026-01-01,10,EUR,EUR\nbob,2026-01-02,20,USD,EUR\n"
    with pytest.raises(BadData, match="'money' and 'shown' hold codes of currencies that differ in 1 rows"):
        paid(tmp_path, two, company)
    assert paid(tmp_path, two, company, currency="money")[0] == [10, 18]
