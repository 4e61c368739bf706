"""The demo company is what its truth says, soiled as declared, and the same every time."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from features.base.errors import StorageFailure, UsageError
from features.simulate import SimulatedCompany, simulate, write
from features.simulate.dirt import DIRT, Dirt

END = date(2026, 6, 30)
CLEAN = Dirt(**dict.fromkeys(Dirt.__dataclass_fields__, 0.0))


@pytest.fixture(scope="module")
def company() -> SimulatedCompany:
    return simulate(customers=1_500, seed=11, end=END)


def feed(company: SimulatedCompany, name: str) -> Any:
    return company.feeds[name].to_pandas()


def truth(company: SimulatedCompany, name: str) -> Any:
    return company.truth[name].to_pandas()


def person_of(company: SimulatedCompany, name: str, keys: pd.Series) -> pd.Series:
    records = truth(company, "records")
    return keys.astype(str).map(records[records.feed == name].set_index("key").person)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(simulate(customers=120, seed=3, months=6), tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_gives_other_people(tmp_path: Path) -> None:
    for seed in (3, 4):
        write(simulate(customers=120, seed=seed, months=6), tmp_path / str(seed))
    one, two = digests(tmp_path / "3"), digests(tmp_path / "4")
    assert one["data/crm_sales.csv"] != two["data/crm_sales.csv"]


def test_truth_lies_apart_from_the_feeds(company: SimulatedCompany, tmp_path: Path) -> None:
    write(company, tmp_path)
    assert {path.name for path in (tmp_path / "truth").iterdir()} == {
        "records.parquet", "people.parquet", "tastes.parquet", "hazards.parquet", "contacts.parquet", "offers.parquet",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "crm_sales.csv", "crm_service.csv", "billing.csv", "subscriptions.csv", "till", "web_clicks.parquet",
        "tickets.csv", "survey.csv", "campaign_contacts.csv", "consents.csv", "products.csv", "postcode_open_data.csv",
    }  # fmt: skip
    assert len(list((tmp_path / "data" / "till").iterdir())) == 24


def test_what_is_written_reads_back_the_same(company: SimulatedCompany, tmp_path: Path) -> None:
    write(company, tmp_path)
    clicks = pq.read_table(tmp_path / "data" / "web_clicks.parquet")
    assert clicks.equals(company.feeds["web_clicks"])
    till = pq.read_table(tmp_path / "data" / "till")
    assert till.num_rows == company.feeds["till"].num_rows
    assert pyarrow.csv.read_csv(tmp_path / "data" / "billing.csv").num_rows == company.feeds["billing"].num_rows


def test_an_unwritable_folder_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StorageFailure, match="cannot be written"):
        write(simulate(customers=60, seed=1, months=3), tmp_path)


@pytest.mark.parametrize("wrong", [{"customers": 10}, {"months": 2}, {"end": date(1980, 1, 1)}])
def test_a_company_too_small_or_too_far_away_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        simulate(**({"customers": 100, "seed": 1, "months": 6} | wrong))


@pytest.mark.parametrize("end", [date(2025, 2, 28), date(2026, 3, 29), date(2024, 2, 14)])
def test_nothing_is_written_down_after_the_end(end: date) -> None:
    company = simulate(customers=300, seed=5, end=end, months=5)
    limit = pd.Timestamp(end, tz="UTC") + pd.Timedelta(days=1)
    for name, columns in {
        "till": ["sold_at"], "web_clicks": ["clicked_at"], "tickets": ["opened_at", "solved_at", "loaded_at"],
        "survey": ["answered_at"], "campaign_contacts": ["sent_at", "responded_at"],
    }.items():  # fmt: skip
        for column in columns:
            times = pd.to_datetime(feed(company, name)[column], utc=True).dropna()
            assert times.max() < limit, (name, column)
    for name, column in [("billing", "paid_at"), ("subscriptions", "ended"), ("subscriptions", "started")]:
        assert pd.to_datetime(feed(company, name)[column]).max() <= pd.Timestamp(end)


def test_every_record_is_somebodys_and_every_link_leads_to_a_record(company: SimulatedCompany) -> None:
    sales, service = feed(company, "crm_sales"), feed(company, "crm_service")
    assert sales.account_no.is_unique
    assert sales.portal_login.is_unique
    assert service.contact_id.is_unique
    assert person_of(company, "crm_sales", sales.account_no).notna().all()
    assert person_of(company, "crm_service", service.contact_id).notna().all()
    for name, column in [("billing", "account"), ("subscriptions", "account_no"), ("consents", "account_no")]:
        assert feed(company, name)[column].isin(sales.account_no).all(), name
    assert feed(company, "campaign_contacts").account_no.isin(sales.account_no).all()
    assert feed(company, "survey").contact_id.isin(service.contact_id).all()
    assert feed(company, "web_clicks").login.dropna().isin(sales.portal_login).all()


def test_bills_stop_when_somebody_leaves(company: SimulatedCompany) -> None:
    bills = feed(company, "billing")
    bills = bills[bills.issued != "31/02/2026"]
    bills = bills.assign(person=person_of(company, "crm_sales", bills.account), issued=pd.to_datetime(bills.issued))
    last = bills.groupby("person").issued.max()
    people = truth(company, "people").set_index("person")
    left = pd.to_datetime(people.left_at).dropna()
    gone = left[left <= pd.Timestamp(END)]
    assert len(gone) > 100
    days = (gone - last.reindex(gone.index)).dt.days
    assert days.between(0, 62).all()  # the last month, or the one before where that bill's date cannot be read
    assert (days <= 31).mean() > 0.98
    staying = people.index[people.customer & people.left_at.isna()]
    quiet = (pd.Timestamp(END) - last.reindex(staying)).dt.days
    assert (quiet <= 31).mean() > 0.98


def test_whoever_left_holds_nothing_and_whoever_stays_holds_something(company: SimulatedCompany) -> None:
    holdings = feed(company, "subscriptions")
    holdings = holdings.assign(person=person_of(company, "crm_sales", holdings.account_no))
    active = set(holdings[holdings.ended.isna()].person)
    people = truth(company, "people")
    left = people.left_at.notna() & (pd.to_datetime(people.left_at) <= pd.Timestamp(END))
    assert not active & set(people[left].person)
    assert set(people[people.customer & ~left].person) <= active


def test_nobody_holds_the_same_service_twice_at_once(company: SimulatedCompany) -> None:
    holdings = feed(company, "subscriptions")
    active = holdings[holdings.ended.isna()]
    active = active.assign(person=person_of(company, "crm_sales", active.account_no))
    assert not active.duplicated(["person", "service"]).any()


def test_people_leave_as_often_as_their_hazards_say(company: SimulatedCompany) -> None:
    hazards = truth(company, "hazards")
    people = truth(company, "people")
    expected, spread = hazards.hazard.sum(), np.sqrt((hazards.hazard * (1 - hazards.hazard)).sum())
    assert abs(people.left_at.notna().sum() - expected) < 4 * spread
    assert hazards.hazard.between(0, 1).all()


def test_discontent_shows_before_somebody_leaves(company: SimulatedCompany) -> None:
    tickets, clicks = feed(company, "tickets"), feed(company, "web_clicks")
    people = truth(company, "people").set_index("person")
    left = pd.to_datetime(people.left_at, utc=True)
    opened = pd.to_datetime(tickets.opened_at, utc=True)
    person = person_of(company, "crm_service", tickets.contact_id)
    ahead = left.reindex(person).to_numpy() - opened.to_numpy()
    leavers = person.isin(left.dropna().index).to_numpy()
    recent = leavers & (ahead < np.timedelta64(90, "D")) & (ahead >= np.timedelta64(0, "D"))
    months_of_leavers = left.notna().sum() * 3
    months_of_all = len(truth(company, "hazards"))
    assert recent.sum() / months_of_leavers > 2 * len(tickets) / months_of_all
    assert (clicks.page == "cancel-help").mean() < 0.05


def test_people_buy_what_they_have_a_taste_for(company: SimulatedCompany) -> None:
    till, tastes = feed(company, "till"), truth(company, "tastes").set_index("person")
    groups = feed(company, "products").set_index("sku").category
    bought = till[(till.qty > 0) & till.customer_no.notna()]
    bought = bought.assign(person=person_of(company, "crm_sales", bought.customer_no), category=bought.sku.map(groups))
    bought = bought.dropna(subset="person")
    for group in ("gaming", "devices", "boiler_care"):
        buyers = bought[bought.category == group].person
        assert tastes.loc[buyers, group].mean() > tastes[group].mean() + 0.3, group


def test_offers_change_responses_by_what_the_truth_says() -> None:
    company = simulate(customers=6_000, seed=2, months=12)
    contacts = feed(company, "campaign_contacts").merge(truth(company, "contacts"), on="contact_no")
    contacts = contacts[contacts.response.notna()]
    for treated, column in ((contacts.arm != "none", "with"), (contacts.arm == "none", "without")):
        rows = contacts[treated]
        answered = (rows.response == "yes").mean()
        noise = 4 * np.sqrt(answered * (1 - answered) / len(rows))
        # a response is missed where somebody decides to leave first: that makes it a little rarer than the truth
        assert -noise - 0.1 * answered < answered - rows[column].mean() < noise


def test_the_control_group_is_drawn_with_the_stated_probability(company: SimulatedCompany) -> None:
    contacts = feed(company, "campaign_contacts")
    assert contacts.selection_prob.between(0, 1, inclusive="neither").all()
    assert abs((contacts.arm == "none").mean() - 0.30) < 4 * np.sqrt(0.21 / len(contacts))
    treated = contacts[contacts.arm != "none"]
    assert (treated.arm == treated.offer).all()


def test_retention_contacts_save_most_people_and_drive_sleeping_dogs_away(company: SimulatedCompany) -> None:
    offers = truth(company, "offers").merge(truth(company, "people")[["person", "sleeping_dog"]], on="person")
    calls = offers[offers.offer == "save-call"]
    change = calls.leaving_with - calls.leaving_without
    assert (change[calls.sleeping_dog] > 0).all()
    assert (change[~calls.sleeping_dog] < 0).all()
    assert 0.05 < calls.sleeping_dog.mean() < 0.35


def test_nobody_is_contacted_without_consent(company: SimulatedCompany) -> None:
    contacts, consents = feed(company, "campaign_contacts"), feed(company, "consents")
    marketing = consents[consents.purpose == "marketing"]
    at = pd.to_datetime(marketing["at"]).dt.tz_localize("Europe/London", ambiguous=True, nonexistent="shift_forward")
    marketing = marketing.assign(
        moment=at.dt.tz_convert("UTC"), person=person_of(company, "crm_sales", marketing.account_no)
    ).sort_values("moment")
    sent = contacts.assign(
        moment=pd.to_datetime(contacts.sent_at, utc=True).astype(marketing.moment.dtype),
        person=person_of(company, "crm_sales", contacts.account_no),
    ).sort_values("moment")
    known = pd.merge_asof(sent, marketing[["moment", "person", "status"]], on="moment", by="person")
    assert (known.status == "granted").all()
    assert (marketing.status == "withdrawn").any()


def test_dirt_is_as_frequent_as_declared(company: SimulatedCompany) -> None:
    billing, till, tickets = (feed(company, name) for name in ("billing", "till", "tickets"))

    def about(count: int, rate: float, of: int) -> bool:
        return bool(abs(count - rate * of) <= 4 * np.sqrt(rate * of) + 1)

    assert about(billing.duplicated().sum(), DIRT.repeated_bill, len(billing))
    assert about((billing.issued == "31/02/2026").sum(), DIRT.bad_date, len(billing))
    assert about((billing.amount == "n/a").sum(), DIRT.bad_amount, len(billing))
    assert not billing.drop_duplicates().duplicated("invoice_no").any()
    assert (till.qty < 0).any()
    assert till.customer_no.isna().any()
    assert till.customer_no.dropna().astype(int).ge(90_000_000).any()
    late = (pd.to_datetime(tickets.loaded_at) - pd.to_datetime(tickets.opened_at)).dt.days
    assert about((late >= 2).sum(), DIRT.late_ticket, len(tickets))
    sales = feed(company, "crm_sales")
    assert (sales.email_addr.dropna() != sales.email_addr.dropna().str.strip().str.lower()).any()
    assert person_of(company, "crm_sales", sales.account_no).duplicated().any()


def test_without_dirt_the_records_of_a_person_agree() -> None:
    company = simulate(customers=400, seed=9, months=6, dirt=replace(CLEAN, second_contact=0.0))
    sales, service = feed(company, "crm_sales"), feed(company, "crm_service")
    sales = sales.assign(person=person_of(company, "crm_sales", sales.account_no))
    service = service.assign(person=person_of(company, "crm_service", service.contact_id))
    assert sales.person.is_unique
    both = sales.merge(service, on="person")
    assert len(both) > 100
    mail = both.dropna(subset=["email_addr", "mail"])
    assert (mail.email_addr == mail["mail"]).all()
    assert (both.street == both.address).all()
    assert (both.postcode == both["zip"]).all()


def test_nobody_in_it_can_be_a_real_person(company: SimulatedCompany) -> None:
    sales, service = feed(company, "crm_sales"), feed(company, "crm_service")
    for emails in (sales.email_addr, service["mail"]):
        assert (
            emails.dropna()
            .str.strip()
            .str.lower()
            .str.fullmatch(r"[a-z]+\.?[a-z]*\.?[a-z.]*\d+@example\.(com|org|net)")
            .all()
        )
    for phones in (sales.tel, service.mobile):
        digits = phones.dropna().str.replace(r"\D", "", regex=True).str[-10:]
        assert (digits.str.match(r"7700900\d{3}$") | digits.str.match(r"70\d{8}$")).all()
    assert sales.postcode.str.match(r"^[QVX][A-Z]\d \d[A-Z]{2}$").all()


def test_the_accounts_of_different_people_never_share_an_email(company: SimulatedCompany) -> None:
    sales, service = feed(company, "crm_sales"), feed(company, "crm_service")
    emails = pd.concat([
        pd.DataFrame({"email": sales.email_addr, "person": person_of(company, "crm_sales", sales.account_no)}),
        pd.DataFrame({"email": service["mail"], "person": person_of(company, "crm_service", service.contact_id)}),
    ]).dropna()  # fmt: skip
    emails["email"] = emails.email.str.strip().str.lower()
    assert emails.groupby("email").person.nunique().max() == 1
