"""Objects in an S3 store: a real server on the loopback, keys from the environment, nothing left behind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from features.base.errors import BadData, Unreachable
from tests.features.tiny import Staged, staged

CSV = "who,at,amount\nann,2026-01-01,1\nbob,2026-01-02,2\n"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NB_KEY", "reader")
    monkeypatch.setenv("NB_SECRET", "s3cret")
    client = boto3.client(
        "s3", endpoint_url=server, region_name="us-east-1", aws_access_key_id="reader", aws_secret_access_key="s3cret"
    )
    client.create_bucket(Bucket="crm")
    for listed in client.list_objects_v2(Bucket="crm").get("Contents", []):
        client.delete_object(Bucket="crm", Key=listed["Key"])
    return client


def read(root: Path, server: str, source: str, **settings: Any) -> Staged:
    store = {"endpoint": server, "region": "us-east-1", "access_key": "${env:NB_KEY}", "secret_key": "${env:NB_SECRET}"}
    return staged(root, source=source, store=store, fields={"amount": "amount"}, timeout="60s", **settings)


def left(root: Path) -> list[str]:
    return [path.name for path in (root / "state").rglob("*") if path.is_file()]


def test_csv_objects_are_read_by_pattern_and_again_only_when_they_change(
    tmp_path: Path, server: str, bucket: Any
) -> None:
    bucket.put_object(Bucket="crm", Key="day/a.csv", Body=CSV.encode())
    bucket.put_object(Bucket="crm", Key="day/notes.md", Body=b"nothing")
    found = read(tmp_path, server, "s3://crm/day/*.csv")
    assert found.column("customer_ref") == ["ann", "bob"]
    assert read(tmp_path, server, "s3://crm/day/*.csv").feed.already_applied
    bucket.put_object(Bucket="crm", Key="day/b.csv", Body=CSV.replace("ann", "cleo").encode())
    assert read(tmp_path, server, "s3://crm/day/*.csv").feed.rows == 4
    assert left(tmp_path) == []


def test_of_a_parquet_object_only_the_needed_columns_are_read(tmp_path: Path, server: str, bucket: Any) -> None:
    held = io.BytesIO()
    pq.write_table(pa.table({"who": ["ann"], "at": ["2026-01-01"], "amount": [1.0], "secret": ["x"]}), held)
    bucket.put_object(Bucket="crm", Key="till.parquet", Body=held.getvalue())
    found = read(tmp_path, server, "s3://crm/till.parquet", drop=["secret"])
    assert found.column("amount") == [1.0]
    assert left(tmp_path) == []


def test_an_object_that_is_not_there_is_named(tmp_path: Path, server: str, bucket: Any) -> None:
    del bucket
    with pytest.raises(BadData) as caught:
        read(tmp_path, server, "s3://crm/none.csv")
    assert caught.value.first.code == "feed.missing"


def test_a_store_out_of_reach_is_told(tmp_path: Path, bucket: Any) -> None:
    del bucket
    with pytest.raises(Unreachable) as caught:
        read(tmp_path, "http://127.0.0.1:1", "s3://crm/till.csv")
    assert caught.value.first.code == "feed.unreachable"
    assert "s3cret" not in str(caught.value)
