"""Exports as systems write them, one small world for each kind of fault: what is proposed, and what unify keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from features.base.errors import BadData
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.feeds_file import FeedsFile
from features.config.workspace_files import load_feeds
from features.consent.table_counts import count_tables
from features.onboarding.words import concepts
from features.pipeline.unify import unify
from serving.cli.init_command import init, new_workspace
from serving.cli.workspace_check import check_workspace

PEOPLE = [
    (f"{n:03d}", f"Ann{chr(97 + n % 26)}", f"Lee{chr(97 + n // 2 % 26)}", f"ann{n}@mail.example") for n in range(40)
]
CRM = "contact_id,first_name,last_name,email,created\n" + "".join(
    f"C-{number},{first},{last},{email},2025-03-0{int(number) % 9 + 1} 10:00:00\n"
    for number, first, last, email in PEOPLE
)


def proposed(folder: Path, **files: str) -> FeedsFile:
    """Write the files, propose a workspace for them, see that it checks, and return its feeds."""
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    new_workspace(folder / "new", [f"{name}.csv" for name in files], Silent(), here=folder)
    workspace = Workspace(folder / "new")
    assert check_workspace(workspace) == []
    return load_feeds(workspace)[0]


def unified(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Unify the workspace and return what its tables hold."""
    workspace = Workspace(folder / "new")
    unify(workspace, Silent())
    return count_tables(workspace, load_feeds(workspace)[0].purposes)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Prénom", {"first_name"}),
        ("Straße", {"street"}),
        ("Kundennummer", {"customer", "id"}),
        ("orderdate", {"order", "date"}),
        ("Fecha de pedido", {"date", "order"}),
        ("Aangemaakt op", {"created"}),
        ("Email Opt Out", {"email", "optout"}),
        ("DoNotCall", {"optout"}),
        ("Associated Contact IDs", {"contact", "id"}),
    ],
)
def test_words_of_names_are_folded_taken_apart_and_translated(name: str, meant: set[str]) -> None:
    assert meant <= concepts(name)


def test_people_are_taken_out_of_rows_in_which_they_repeat(tmp_path: Path) -> None:
    orders = (
        "Order Number,Order Date,Billing First Name,Billing Last Name,Billing Email,Billing Phone,Order Total\n"
        + "".join(
            f"#{1000 + n},2026-02-{n % 27 + 1:02d} 10:00:00,{','.join(PEOPLE[n % 30][1:])},"
            f"+44 7700 90{n % 30:04d},{n}.50\n"
            for n in range(90)
        )
    )
    feeds = proposed(tmp_path, export=orders).feeds
    assert (feeds["export"].kind, feeds["export"].event) == ("events", "purchase")
    assert feeds["export_customers"].key == "Billing Email"
    assert "full_name" not in feeds["export_customers"].fields  # `#1001` is no person's name
    tables = unified(tmp_path)
    assert (tables["customers"]["customers"], tables["events"]["rows"]) == (30, 90)
    assert tables["events"]["amount"] == sum(n + 0.5 for n in range(90))


@pytest.mark.parametrize(
    ("written", "in_crm"),
    [
        ("000{}", "{}"),  # leading zeros
        ("'{}", "{}"),  # an apostrophe that keeps a number a text
        ("{}.0", "{}"),  # a number that was a fraction on its way
        ("{};9999", "{}"),  # a list of which the first counts
        ("003Hp00000{}abcIAJ", "003Hp00000{}abc"),  # 18 characters and 15
    ],
)
def test_ids_that_two_systems_write_differently_meet(tmp_path: Path, written: str, in_crm: str) -> None:
    key = [in_crm.format(10 + n) if "Hp" in in_crm else in_crm.format(51000 + 7 * n) for n in range(40)]
    own = [written.format(10 + n) if "Hp" in in_crm else written.format(51000 + 7 * n) for n in range(40)]
    crm = "contact_id,first_name,email\n" + "".join(f"{key[n]},{PEOPLE[n][1]},{PEOPLE[n][3]}\n" for n in range(40))
    deals = "deal_id,contact_id,created,amount\n" + "".join(
        f"D{n},{own[n % 40]},2026-01-{n % 27 + 1:02d} 09:00:00,{n}\n" for n in range(90)
    )
    proposed(tmp_path, crm=crm, deals=deals)
    tables = unified(tmp_path)
    assert (tables["customers"]["customers"], tables["events"]["rows"]) == (40, 90)


def test_guests_without_an_id_are_known_by_their_email_and_zero_is_nobody(tmp_path: Path) -> None:
    rows = "".join(
        f"{n},{0 if n % 5 == 0 else 100 + n % 30},{PEOPLE[n % 30][3]},2026-03-{n % 27 + 1:02d} 08:00:00,9.90\n"
        for n in range(90)
    )
    proposed(tmp_path, orders="order_id,customer_id,customer_email,order_date,order_total\n" + rows)
    tables = unified(tmp_path)
    assert (tables["customers"]["customers"], tables["events"]["rows"]) == (30, 90)


def test_ids_of_the_same_name_that_do_not_meet_are_refused(tmp_path: Path) -> None:
    sales = "invoice,contact_id,date,amount\n" + "".join(
        f"{n},9{n % 40:06d},2026-01-{n % 27 + 1:02d},5\n" for n in range(90)
    )
    with pytest.raises(BadData, match="every customer would be made twice"):
        proposed(tmp_path, crm=CRM, sales=sales)


def test_a_date_that_no_row_decides_is_refused_with_both_readings(tmp_path: Path) -> None:
    sales = "invoice,contact_id,date,amount\n" + "".join(
        f"{n},C-{n % 40:03d},{n % 12 + 1:02d}/{n % 11 + 1:02d}/2026,5\n" for n in range(90)
    )
    with pytest.raises(BadData) as caught:
        proposed(tmp_path, crm=CRM, sales=sales)
    assert caught.value.first.code == "init.undecided_time"
    assert "day_first or month_first" in caught.value.first.message
    assert "--answer sales.times.date=" in (caught.value.first.hint or "")


def test_an_order_that_takes_several_rows_counts_once(tmp_path: Path) -> None:
    head = "Name,Email,Created at,Total,Lineitem sku,Lineitem quantity\n"
    rows = "".join(
        f"#{1000 + n},{PEOPLE[n % 25][3]},2026-04-{n % 27 + 1:02d} 12:00:00 +0200,{20 + n}.00,A,1\n"
        + f"#{1000 + n},{PEOPLE[n % 25][3]},2026-04-{n % 27 + 1:02d} 12:00:00 +0200,,B,2\n" * (n % 2)
        for n in range(60)
    )
    proposed(tmp_path, orders=head + rows)
    tables = unified(tmp_path)
    assert (tables["events"]["rows"], tables["events"]["amount"]) == (60, sum(20 + n for n in range(60)))


def test_a_total_that_every_line_repeats_is_not_added_up(tmp_path: Path) -> None:
    rows = "".join(
        f"S{n:03d},2026-05-{n % 27 + 1:02d} 12:00:00,{PEOPLE[n % 25][3]},{30 + n}.00,{sku}\n"
        for n in range(60)
        for sku in "AB"
    )
    proposed(tmp_path, orders="Order Number,Order Date,Customer Email,Order Total,Item\n" + rows)
    assert unified(tmp_path)["events"]["amount"] == sum(30 + n for n in range(60))


def test_opt_outs_in_every_form_become_withdrawals(tmp_path: Path) -> None:
    crm = "contact_id,email,Unsubscribed from all email,Bulk Email,Newsletter,modified\n" + "".join(
        f"C-{n},{PEOPLE[n][3]},{'true' if n % 4 == 0 else ''},{'Do Not Allow' if n % 5 == 0 else 'Allow'},"
        f"{'Ja' if n % 2 else 'Nein'},2026-01-0{n % 9 + 1} 10:00:00\n"
        for n in range(40)
    )
    suppressed = "email,unsubscribed_at\n" + "".join(f"{PEOPLE[n][3].upper()},2026-02-03 04:05:06\n" for n in range(7))
    file = proposed(tmp_path, crm=crm, suppression_list=suppressed)
    assert file.purposes["marketing"].basis == "consent"
    assert "retention" not in file.purposes
    tables = unified(tmp_path)
    assert tables["consents"]["by_status"]["withdrawn"] == 10 + 8 + 20 + 7
    assert tables["customers"]["customers"] == 40


def test_consent_that_is_not_understood_takes_marketing_off_legitimate_interest(tmp_path: Path) -> None:
    crm = "contact_id,email,consent_flags\n" + "".join(
        f"C-{n},{PEOPLE[n][3]},{'ABCQ'[n % 4]}{n % 3}\n" for n in range(40)
    )
    file = proposed(tmp_path, crm=crm)
    assert file.purposes["marketing"].basis == "consent"
    assert "Not understood, though about consent: crm.consent_flags" in (
        tmp_path / "new/features/feeds.yaml"
    ).read_text("utf-8")


def test_what_only_today_knows_is_no_feature(tmp_path: Path) -> None:
    crm = "customer_id,first_name,last_name,email,Lifecycle Stage,Total Spent,Total Orders,Tier,Rooms\n" + "".join(
        f"K{n},{PEOPLE[n][1]},{PEOPLE[n][2]},{PEOPLE[n][3]},{'abc'[n % 3]},{n}.5,{n % 4},{'xy'[n % 2]},{n % 5}\n"
        for n in range(40)
    )
    proposed(tmp_path, crm=crm)
    views = (tmp_path / "new/features/views.yaml").read_text(encoding="utf-8")
    assert "crm.rooms" in views
    assert not any(word in views for word in ("lifecycle", "spent", "total", "tier"))


def test_staff_and_the_other_end_of_a_call_are_nobody_s_customers(tmp_path: Path) -> None:
    rows = "".join(
        f"{n},{PEOPLE[n % 30][3]},agent{n % 3}@shop.example,Broken {n % 7} times over again,"
        f"2026-01-{n % 27 + 1:02d}T10:00:00Z,high\n"
        for n in range(80)
    )
    feeds = proposed(tmp_path, cases="id,requester_email,assignee_email,description,created_at,priority\n" + rows).feeds
    assert (feeds["cases"].event, feeds["cases"].fields["text"]) == ("ticket", "description")
    assert feeds["cases_customers"].key == "requester_email"
    assert feeds["cases"].pii == ["assignee_email"]  # the other one is the link, which no table keeps


def test_the_business_moment_comes_before_load_change_and_closing_dates(tmp_path: Path) -> None:
    rows = "".join(
        f"{n},C-{n % 40:03d},2026-01-01 00:00:00,2026-03-09 10:00:00,2026-02-{n % 27 + 1:02d} 10:00:00,"
        f"2026-04-01 10:00:00,{n}\n"
        for n in range(80)
    )
    deals = "deal_id,contact_id,etl_loaded_at,close_date,created_date,last_modified,amount\n" + rows
    assert proposed(tmp_path, crm=CRM, deals=deals).feeds["deals"].event_time == "created_date"


def test_the_name_of_the_folder_types_no_events(tmp_path: Path) -> None:
    (tmp_path / "payments").mkdir()
    orders = "order_no,contact_id,ordered_on,price,pieces\n" + "".join(
        f"{n},C-{n % 40:03d},2026-01-{n % 27 + 1:02d},4.5,{n % 3 + 1}\n" for n in range(80)
    )
    (tmp_path / "payments/crm.csv").write_text(CRM, encoding="utf-8")
    (tmp_path / "payments/orders.csv").write_text(orders, encoding="utf-8")
    new_workspace(tmp_path / "new", ["payments"], Silent(), here=tmp_path)
    assert load_feeds(Workspace(tmp_path / "new"))[0].feeds["orders"].event == "purchase"


SHORT_EXPORT = """\
Name,Email,Financial Status,Paid at,Total,Accepts Marketing,Created at,Lineitem quantity,Lineitem name,Lineitem price,\
Billing Name,Billing Zip
#1004,ada@mail.example,paid,2026-06-03 09:12:44 +0100,27.00,yes,2026-06-03 09:12:40 +0100,2,Blend,9.00,Ada Byron,'01067
#1004,ada@mail.example,,,,,,1,Filter papers,9.00,,
#1003,joan@mail.example,paid,2026-05-21 18:02:10 +0100,12.50,no,2026-05-21 18:02:01 +0100,1,Tea,12.50,Joan Lee,LS1 4DT
#1002,Ada@Mail.example,paid,2026-05-02 11:40:00 +0100,9.00,yes,2026-05-02 11:39:58 +0100,1,Blend,9.00,Ada Byron,'01067
#1001,grace@mail.example,refunded,2026-04-11 08:00:31 +0100,18.00,yes,2026-04-11 08:00:12 +0100,2,Blend,9.00,\
Grace Hopper,YO1 7HH
"""


@pytest.mark.parametrize("name", ["orders_export_1", "shop"])
@pytest.mark.parametrize("people", [3, 4])
def test_a_short_file_of_orders_comes_out_as_a_long_one(tmp_path: Path, name: str, people: int) -> None:
    rows = SHORT_EXPORT if people == 3 else SHORT_EXPORT.replace("Ada@Mail", "mary@mail")
    proposal = proposed(tmp_path, **{name: rows})
    assert (proposal.feeds[name].kind, proposal.feeds[name].event_time) == ("events", "Created at")
    assert proposal.feeds[name].event == "purchase"
    tables = unified(tmp_path)
    assert tables["customers"]["customers"] == people
    assert (tables["events"]["rows"], tables["events"]["amount"]) == (4, 66.5)
    assert tables["consents"]["by_status"] == {"granted": 3, "withdrawn": 1}


def test_a_short_file_of_lines_of_orders_counts_each_line(tmp_path: Path) -> None:
    rows = "".join(f"{n},{PEOPLE[n][3]},2026-03-0{n} 09:0{n}:00,tea,{n},2.50\n" for n in range(1, 4))
    proposed(tmp_path, sold="order,buyer email,ordered at,item,quantity,unit price\n" + rows)
    tables = unified(tmp_path)
    assert (tables["events"]["rows"], tables["events"]["amount"]) == (3, 15.0)


def test_amounts_with_times_that_become_no_event_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{PEOPLE[n][3]},{PEOPLE[n][1]},2026-03-{n + 1:02d} 09:00:00,{n}.50\n" for n in range(20))
    (tmp_path / "sold.csv").write_text("email,first name,paid at,total\n" + rows, encoding="utf-8")
    (tmp_path / "crm.csv").write_text(CRM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    init("new", sources=["sold.csv", "crm.csv"])
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING: ")]
    assert "sold.csv count as no event; it is read as customers, though it has total and paid at" in warning


def test_a_file_of_customers_with_the_time_of_their_records_is_not_warned_of(tmp_path: Path) -> None:
    rows = "".join(f"K{n},{PEOPLE[n][3]},2026-03-{n + 1:02d} 09:00:00,{n}.50\n" for n in range(20))
    (tmp_path / "crm.csv").write_text("customer_id,email,created_at,contract value\n" + rows, encoding="utf-8")
    proposal, _ = new_workspace(tmp_path / "new", ["crm.csv"], Silent(), here=tmp_path)
    assert proposal.warnings == ()


def test_a_file_of_which_most_rows_name_nobody_is_warned_of(tmp_path: Path) -> None:
    rows = "".join(
        f"{n},{PEOPLE[n // 4][3] if n % 4 == 0 else ''},2026-03-{n % 27 + 1:02d} 09:00:00,{n}.50\n" for n in range(80)
    )
    (tmp_path / "orders.csv").write_text("order_id,email,ordered_at,total\n" + rows, encoding="utf-8")
    proposal, _ = new_workspace(tmp_path / "new", ["orders.csv"], Silent(), here=tmp_path)
    (warning,) = proposal.warnings
    assert "60 of 80 rows are not used, for email of orders hold nothing there" in warning
    assert unified(tmp_path)["events"]["rows"] == 20


@pytest.mark.parametrize(
    ("totals", "amount", "reason"),
    [
        ({0, 1, 2, 3}, ["item-price"], "it grows with quantity-purchased"),
        (set[int](), ["quantity-purchased", "item-price"], "does not grow with quantity-purchased"),
        ({1, 3}, ["quantity-purchased", "item-price"], "no item decides"),
    ],
)
def test_a_price_that_grows_with_the_pieces_is_the_total_of_its_line(
    tmp_path: Path, totals: set[int], amount: list[str], reason: str
) -> None:
    prices = [5 * (n % 4 + 1) * (n % 3 + 1 if n % 4 in totals else 1) for n in range(60)]
    rows = "".join(
        f"{n:05d},2026-03-{n % 27 + 1:02d}T09:00:00+00:00,{PEOPLE[n % 20][3]},S{n % 4},{n % 3 + 1},{price}.00\n"
        for n, price in enumerate(prices)
    )
    head = "order-id,purchase-date,buyer-email,sku,quantity-purchased,item-price\n"
    mapped = proposed(tmp_path, orders=head + rows).feeds["orders"].fields["amount"]
    assert [name for name in ("quantity-purchased", "item-price") if name in mapped] == amount
    assert reason in (tmp_path / "new/features/feeds.yaml").read_text(encoding="utf-8")
    if len(amount) == 1:
        assert unified(tmp_path)["events"]["amount"] == sum(prices)


def test_a_file_of_opt_outs_grants_nothing(tmp_path: Path) -> None:
    consents = "customer_id,purpose,opted_out,updated_at\n" + "".join(
        f"C-{PEOPLE[n][0]},marketing,{'true' if n % 4 == 0 else 'false'},2026-02-0{n % 9 + 1} 10:00:00\n"
        for n in range(40)
    )
    file = proposed(tmp_path, crm=CRM.replace("contact_id", "customer_id"), consents=consents)
    assert file.feeds["consents"].kind == "consents"
    assert unified(tmp_path)["consents"]["by_status"] == {"withdrawn": 10}


@pytest.mark.parametrize(
    ("words", "withdrawn"), [(("yes", "unsubscribed"), 40), (("yes", "opted_out", "no_choice", "no"), 20)]
)
def test_a_yes_among_the_words_of_an_opt_out_is_one(tmp_path: Path, words: tuple[str, ...], withdrawn: int) -> None:
    consents = "customer_id,purpose,opted_out,updated_at\n" + "".join(
        f"C-{PEOPLE[n][0]},marketing,{words[n % len(words)]},2026-02-0{n % 9 + 1} 10:00:00\n" for n in range(40)
    )
    proposed(tmp_path, crm=CRM.replace("contact_id", "customer_id"), consents=consents)
    found = unified(tmp_path)["consents"]["by_status"]
    assert (found["withdrawn"], found.get("granted", 0)) == (withdrawn, 0)


@pytest.mark.parametrize(
    "name",
    [
        *("no_newsletter", "no_email_marketing", "no_sms_marketing", "exclude_from_newsletter", "newsletter_disabled"),
        *("sperre_newsletter", "Newslettersperre", "Newsletter gesperrt", "ohne Newsletter", "without_marketing"),
        *("sans newsletter", "sin boletín", "geen nieuwsbrief", "kein Newsletter", "stop_sms_marketing"),
        *("block email marketing", "suppress_newsletter", "marketing blocked", "no_consent", "opted_out"),
    ],
)
def test_a_flag_that_refuses_is_an_opt_out(tmp_path: Path, name: str) -> None:
    flagged = f"contact_id,email,{name}\n" + "".join(
        f"C-{n},{PEOPLE[n][3]},{'true' if n % 4 == 0 else 'false'}\n" for n in range(40)
    )
    proposed(tmp_path, crm=flagged)
    assert unified(tmp_path)["consents"]["by_status"] == {"withdrawn": 10}


@pytest.mark.parametrize(
    "name", ["newsletter_bounced", "newsletter_sent", "cookie_consent", "not_opted_out", "no_newsletter_optout"]
)
def test_a_flag_whose_words_do_not_decide_grants_nothing(tmp_path: Path, name: str) -> None:
    flagged = f"contact_id,email,{name}\n" + "".join(
        f"C-{n},{PEOPLE[n][3]},{'true' if n % 4 == 0 else 'false'}\n" for n in range(40)
    )
    file = proposed(tmp_path, crm=flagged)
    assert file.purposes["marketing"].basis == "consent"
    assert not any(feed.kind == "consents" for feed in file.feeds.values())
    assert f"Not understood, though about consent: crm.{name}" in (tmp_path / "new/features/feeds.yaml").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("name", ["newsletter", "accepts_sms_marketing", "Newsletter OK", "Einwilligung E-Mail"])
def test_a_flag_that_allows_is_a_grant(tmp_path: Path, name: str) -> None:
    flagged = f"contact_id,email,{name}\n" + "".join(
        f"C-{n},{PEOPLE[n][3]},{'true' if n % 4 == 0 else 'false'}\n" for n in range(40)
    )
    proposed(tmp_path, crm=flagged)
    assert unified(tmp_path)["consents"]["by_status"] == {"granted": 10, "withdrawn": 30}


def test_a_later_delivery_in_another_currency_is_not_taken_one_to_one(tmp_path: Path) -> None:
    head = "order_id,contact_id,ordered_at,amount,currency\n"
    rows = "".join(f"{n},C-{n % 40:03d},2026-01-{n % 27 + 1:02d} 09:00:00,5.00,EUR\n" for n in range(80))
    assert proposed(tmp_path, crm=CRM, orders=head + rows).feeds["orders"].currency == "currency"
    later = "".join(f"{n},C-{n % 40:03d},2026-01-28 09:00:00,900,JPY\n" for n in range(80, 84))
    (tmp_path / "orders.csv").write_text(head + rows + later, encoding="utf-8")
    assert unified(tmp_path)["events"]["amount"] == 400
