"""The checks on Contoso's records as they were published, with nothing declared: what is at fault, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.pipeline.unify_report import UnifyReport
from tests.features.quality.world import answer
from tests.features.tiny import company, unified

FEEDS = """\
company: {{currency: USD, timezone: UTC}}
feeds:
  contact:
    source: {data}/Contact.parquet
    kind: customers
    key: ContactId
    updated_at: strptime(CreatedOn, '%m/%d/%Y')
    timezone: UTC
    fields:
      email: EMail
      phone: Telephone
      birth_date: cast(strptime(nullif(DateOfBirth, ''), '%m/%d/%Y') as date)
      postcode: PostCode
      country: Country
  loyalty:
    source: {data}/Customer-Loyalty.parquet
    kind: customers
    key: LoyaltyId
    customer: contact.ContactId = loyalty.ContactId
    updated_at: CreatedOn
    timezone: UTC
    fields: {{email: EMail, phone: Telephone, birth_date: DateOfBirth}}
  shop:
    source: {data}/POSPurchases.parquet
    kind: events
    event: purchase
    key: PurchaseId
    customer: loyalty.LoyaltyId = shop.LoyaltyId
    event_time: PurchasedOn
    timezone: UTC
    fields: {{amount: cast(TotalPrice as double)}}
{more}
"""


def contoso(folder: Path, shared_data: Path, *, more: str = "") -> UnifyReport:
    data = shared_data / "contoso_customer_insights"
    return unified(company(folder, feeds=FEEDS.format(data=data, more=more)))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> UnifyReport:
    return contoso(tmp_path_factory.mktemp("contoso"), shared_data)


def test_undeclared_checks_refuse_and_fail_nothing_of_a_sound_set(report: UnifyReport) -> None:
    found = {(check.code, check.feed) for check in report.checks if check.outcome in ("failed", "repaired")}
    assert found == {("FQ020", "contact"), ("FQ020", "loyalty")}  # the names that the mapping does not take
    assert answer(report, "FQ015")[1].startswith("2 of 4999 customers")  # the false birth years that the set has


def test_addresses_and_postcodes_are_judged_and_found_right(report: UnifyReport) -> None:
    for feed in ("contact", "loyalty"):
        assert answer(report, "FQ008", feed)[0] == "passed"
    assert answer(report, "FQ011", "contact")[0] == "passed"


def test_national_numbers_are_judged_only_once_a_country_is_declared(
    report: UnifyReport, tmp_path: Path, shared_data: Path
) -> None:
    assert answer(report, "FQ009", "contact")[0] == "not_applicable"
    assert answer(report, "FQ009", "loyalty") == ("passed", "0 of 820 in phone are no telephone numbers (0.0%)")
    declared = contoso(tmp_path, shared_data, more="quality: {phone_regions: {contact: US}}")
    assert answer(declared, "FQ009", "contact") == (  # "-6854" and the like
        "failed",
        "840 of 5000 in phone are no telephone numbers (16.8%), more than 5%",
    )
