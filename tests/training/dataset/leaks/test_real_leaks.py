"""Real tables with real leaks: what a telecom company wrote down on leaving, and a shop's invoices without a window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from training.dataset.leaks.leak_report import ExaminedFrame, examine
from training.dataset.leaks.tables_as_of import recomputed


def test_the_columns_that_were_written_down_on_leaving_are_found_and_no_other(shared_data: Path) -> None:
    folder = shared_data / "ibm_telco_v11_1_3"
    status = pd.read_parquet(folder / "status.parquet")
    services = pd.read_parquet(folder / "services.parquet").set_index("Customer ID")
    rows = pd.DataFrame({"customer_id": status["Customer ID"], "as_of": pd.Timestamp("2020-01-01", tz="UTC")})
    known = services.loc[status["Customer ID"], ["Contract", "Tenure in Months", "Monthly Charge", "Internet Type"]]
    told = status[["Customer Status", "Churn Label", "Churn Category", "Churn Reason", "CLTV"]]
    report = examine(
        ExaminedFrame(
            rows,
            pd.concat([known.reset_index(drop=True), told], axis="columns"),
            status["Churn Value"].to_numpy(dtype=np.float64),
        )
    )
    found = {answer.code: set(answer.features) for answer in report.results if answer.outcome == "failed"}
    given_away = {"Customer Status", "Churn Label", "Churn Category", "Churn Reason"}
    assert found["LK002"] == given_away
    assert found["LK003"] == {"Churn Category", "Churn Reason"}
    assert set(found) == {"LK002", "LK003"}


def spent(tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Add up what each customer ever spent: the window was forgotten."""
    lines = tables["events"]
    return pd.DataFrame({"spent": rows["customer_id"].map(lines.groupby("customer_id")["amount"].sum()).fillna(0.0)})


def spent_until_then(tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Add up what each customer had spent by the row's moment."""
    parts = []
    for moment in rows["as_of"].unique():
        before = tables["events"][tables["events"]["event_time"] <= moment]
        parts.append(spent({"events": before}, rows[rows["as_of"] == moment]))
    return pd.concat(parts).loc[rows.index]


def test_a_sum_without_a_window_is_caught_on_a_shops_invoices(shared_data: Path) -> None:
    path = shared_data / "uci_online_retail" / "online_retail_2010_12_to_2011_12.parquet"
    lines = pd.read_parquet(path, columns=["CustomerID", "InvoiceDate", "Quantity", "UnitPrice"]).dropna()
    events = pd.DataFrame(
        {
            "customer_id": lines["CustomerID"].astype("int64").astype(str),
            "event_time": pd.to_datetime(lines["InvoiceDate"]).dt.tz_localize("UTC"),
            "amount": lines["Quantity"] * lines["UnitPrice"],
        }
    )
    moments = pd.to_datetime(["2011-04-01", "2011-07-01", "2011-10-01"], utc=True)
    rows = pd.concat(
        [
            pd.DataFrame({"customer_id": np.sort(seen["customer_id"].unique()), "as_of": moment})
            for moment in moments
            for seen in [events[events["event_time"] <= moment]]
        ],
        ignore_index=True,
    )
    tables = {"events": events}
    caught = examine(ExaminedFrame(rows, spent(tables, rows), recompute=recomputed(spent, tables))).results[0]
    assert (caught.code, caught.outcome, caught.features) == ("LK001", "failed", ("spent",))
    honest = examine(
        ExaminedFrame(rows, spent_until_then(tables, rows), recompute=recomputed(spent_until_then, tables))
    ).results[0]
    assert honest.outcome == "passed"
