"""Every real set that describes customers maps with ``init``, and at most ten edited lines; most of them unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.pipeline.unify import unify
from serving.cli.init_command import new_workspace
from serving.cli.workspace_check import check_workspace

MOST_EDITS = 10
#: A line as it is proposed → the line that takes its place.
Edits = Mapping[str, str]
# Weighing tens of thousands of records takes minutes; here it is about the mapping, and the declared links.
BY_KEYS: Edits = {"  rules: people": "  rules: keys"}
SOMETIME: Edits = {
    "  #  campaigns:": "  campaigns:",
    "  #    source: ": "    source: ",
    "  #    kind: interactions": "    kind: interactions",
    "  #    customer: ": "    customer: ",
    "  #    event_time: ": "    event_time: TIMESTAMP '2016-11-14 00:00:00'",
    "  #    timezone: UTC": "    timezone: UTC",
    "  #    fields:": "    fields:",
    "  #      offer: campaign_id": "      offer: campaign_id",
}


@dataclass(frozen=True)
class RealSet:
    """What is known of a set: the kinds of its feeds, its customers, some fields and keys."""

    folder: str
    kinds: Mapping[str, str]
    customers: tuple[int, int]
    fields: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str | None] = field(default_factory=dict)
    edits: Edits = field(default_factory=dict)
    file: str = ""


NAMES = {"first_name": "given_name", "last_name": "surname", "city": "suburb", "postcode": "postcode"}
RETAIL = ("online_retail_2010_12_to_2011_12", "online_retail_ii_sheet_2009_2010")

SETS = {
    "contoso": RealSet(
        "contoso_customer_insights",
        {
            "contact": "customers",
            "customer_loyalty": "customers",
            "customer_record_contoso": "customers",
            "contoso_hotel_hotel_activity_customers": "customers",
            "contoso_hotel_hotel_activity": "events",
            "online_purchases": "events",
            "pos_purchases": "events",
            "website_reviews_linked_to_ecommerce_contacts": "events",
        },
        (15_003, 15_003),  # 5,003 contacts by their links, and 10,000 guests that nothing links to them
        {
            "contact.email": "EMail",
            "contact.phone": "Telephone",
            "contact.postcode": "PostCode",
            "contact.street": "StreetAddress",
            "pos_purchases.amount": "TotalPrice",
            "customer_loyalty.birth_date": "DateOfBirth",
        },
        {"contact": "ContactId", "customer_loyalty": "LoyaltyId", "customer_record_contoso": "ContactId"},
        BY_KEYS,
    ),
    "febrl_1": RealSet(
        "febrl", {"dataset1": "customers"}, (450, 550), {f"dataset1.{k}": v for k, v in NAMES.items()}, file="dataset1"
    ),
    "febrl_2": RealSet(
        "febrl",
        {"dataset2": "customers"},
        (5_000, 5_000),
        {f"dataset2.{k}": v for k, v in NAMES.items()},
        {"dataset2": "rec_id"},
        BY_KEYS,
        "dataset2",
    ),
    "febrl_3": RealSet(
        "febrl",
        {"dataset3": "customers"},
        (5_000, 5_000),
        {f"dataset3.{k}": v for k, v in NAMES.items()},
        {"dataset3": "rec_id"},
        BY_KEYS,
        "dataset3",
    ),
    "splink": RealSet(
        "splink_fake_1000",
        {"fake_1000": "customers"},
        (1_000, 1_000),
        {"fake_1000.birth_date": "dob", "fake_1000.email": "email", "fake_1000.last_name": "surname"},
        {"fake_1000": "unique_id"},
        BY_KEYS,
    ),
    "rldata500": RealSet(
        "rldata500",
        {"rldata500": "customers"},
        (400, 500),
        {"rldata500.first_name": "fname_c1", "rldata500.last_name": "lname_c1"},
        {"rldata500": "row"},
    ),
    "telco_classic": RealSet(
        "ibm_telco_classic",
        {"telco_customer_churn": "customers"},
        (7_043, 7_043),
        {"telco_customer_churn.gender": "gender"},
        {"telco_customer_churn": "customerID"},
    ),
    "telco": RealSet(
        "ibm_telco_v11_1_3",
        {
            "demographics": "customers",
            "location": "customers",
            "services": "customers",
            "status": "customers",
            "population": "context",
        },
        (7_043, 7_043),
        {"location.postcode": "Zip Code", "population.place": "Zip Code"},
        {"services": "Customer ID", "population": "Zip Code"},
    ),
    "online_retail": RealSet(
        "uci_online_retail",
        dict.fromkeys(RETAIL, "events") | {f"{name}_customers": "customers" for name in RETAIL},
        (5_942, 5_942),
        {f"{RETAIL[0]}.amount": "Quantity * UnitPrice", f"{RETAIL[1]}.item": "StockCode"},
        {f"{RETAIL[1]}_customers": "Customer ID", RETAIL[0]: None},
    ),
    "completejourney": RealSet(
        "completejourney",
        {
            "demographics": "customers",
            "products": "items",
            "transactions_sample": "events",
            "transactions_sample_customers": "customers",
            "coupon_redemptions": "events",
            "campaigns": "interactions",
        },
        (2_405, 2_500),
        {"transactions_sample.amount": "sales_value", "products.group": "product_category"},
        {"demographics": "household_id", "products": "product_id"},
        SOMETIME,
    ),
    "bank": RealSet(
        "uci_bank_marketing",
        {"bank_additional_full": "customers"},
        (41_188, 41_188),
        {},
        {"bank_additional_full": "row"},
    ),
    "hillstrom": RealSet("hillstrom_email", {"hillstrom": "customers"}, (64_000, 64_000), {}, {"hillstrom": "row"}),
    "coil2000": RealSet("coil2000_train", {"ticdata": "customers"}, (5_822, 5_822), {}, {"ticdata": "row"}),
    "pega": RealSet(
        "pega_interaction_history",
        {"interaction_history": "interactions", "interaction_history_customers": "customers"},
        (10_000, 10_000),
        {
            "interaction_history.offer": "pyName",
            "interaction_history.outcome": "pyOutcome",
            "interaction_history.selection_prob": "pyPropensity",
        },
        {"interaction_history": "pxFactID"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_real_set_is_mapped_and_unified(name: str, tmp_path: Path, shared_data: Path) -> None:
    known = SETS[name]
    source = shared_data / known.folder / (f"{known.file}.parquet" if known.file else "")
    new_workspace(tmp_path / "new", [str(source)], Silent(), here=tmp_path)
    workspace = Workspace(tmp_path / "new")
    edit(workspace.file("features/feeds.yaml"), known.edits)

    assert check_workspace(workspace) == []
    feeds = load_feeds(workspace)[0].feeds
    found = {feed: declared.kind for feed, declared in feeds.items()}
    assert known.kinds.items() <= found.items()
    fields = {f"{feed}.{one}": text for feed, declared in feeds.items() for one, text in declared.fields.items()}
    assert known.fields.items() <= fields.items()
    assert known.keys == {feed: feeds[feed].key for feed in known.keys}
    least, most = known.customers
    assert least <= unify(workspace, Silent()).customers <= most


def edit(file: Path, edits: Edits) -> None:
    """Put one line in the place of each that begins as said, the rest of a line that ends in a space being kept."""
    assert len(edits) <= MOST_EDITS
    lines = file.read_text(encoding="utf-8").splitlines()
    for old, new in edits.items():
        place = next(number for number, line in enumerate(lines) if line.startswith(old))
        lines[place] = new + lines[place].removeprefix(old) if new.endswith(" ") else new
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
