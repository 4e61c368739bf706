"""``nextbest features list``, ``describe`` and ``profile`` on the README's shop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from serving.cli.main import _run
from tests.tiny import write_tiny

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_tiny(tmp_path_factory.mktemp("shop"))
    views = workspace.file("features/views.yaml")
    text = views.read_text(encoding="utf-8")
    views.write_text(
        text.replace("  orders:\n", "  orders:\n    owner: sales\n    where: amount > 0\n", 1), encoding="utf-8"
    )
    unify(workspace, Silent())
    build_features(workspace, Silent())
    return workspace


@pytest.fixture
def say(shop: Workspace, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs ``nextbest features …``: exit code, standard output, standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _run(["features", *words, "--workspace", str(shop.root)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def as_json(said: tuple[int, str, str]) -> dict[str, Any]:
    code, out, _ = said
    assert code == 0
    document: dict[str, Any] = json.loads(out)
    return document


def test_list_names_every_feature_with_where_it_comes_from(say: Say) -> None:
    features = {feature["name"]: feature for feature in as_json(say("list", "--json"))["features"]}
    spent = features["orders__amount_sum_30d"]
    assert (spent["type"], spent["unit"], spent["owner"]) == ("float", "GBP", "sales")
    assert "events.amount" in spent["sources"]
    assert {"orders.price", "orders.pieces"} <= set(spent["origins"])
    assert features["profile__city"]["origins"] == ["people.town"]


def test_list_chooses_by_view_and_by_owner(say: Say) -> None:
    groups = as_json(say("list", "--json", "--view", "groups"))["features"]
    assert {feature["view"] for feature in groups} == {"groups"}
    assert {f["view"] for f in as_json(say("list", "--json", "--owner", "sales"))["features"]} == {"orders"}
    code, out, _ = say("list", "--view", "orders")
    assert code == 0
    assert "orders (owner sales)" in out
    assert out.splitlines()[-1] == "next: nextbest features describe FEATURE"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("list", "--view", "ordres"), "orders"),
        (("list", "--owner", "slaes"), "sales"),
        (("describe", "orders__amount_sum_30"), "orders__amount_sum_30d"),
    ],
)
def test_what_is_not_there_is_64_and_the_nearest_is_named(say: Say, words: tuple[str, ...], meant: str) -> None:
    code, out, err = say(*words)
    assert (code, out) == (64, "")
    assert f"did you mean '{meant}'?" in err


def test_describe_tells_the_rule_the_feeds_freshness_and_todays_values(say: Say) -> None:
    told = as_json(say("describe", "orders__amount_sum_30d", "--json"))
    assert told["rule"] == "from events, where amount > 0"
    assert told["declared"].startswith("features/views.yaml:")
    assert told["origins"]["events.amount"] == {"orders": "price * pieces"}
    assert told["freshness"]["feeds"]["orders"].startswith("2026-06")
    assert told["rows"] == 200
    assert told["quantiles"]["p5"] <= told["quantiles"]["p50"] <= told["quantiles"]["p95"]
    code, out, _ = say("describe", "orders__amount_sum_30d")
    assert code == 0
    for words in ("sum of amount in the last 30d", "orders: price * pieces", "without a value", "drift against"):
        assert words in out
    assert out.splitlines()[-1] == "next: nextbest features profile"


def test_describe_of_a_text_names_its_commonest_values(say: Say) -> None:
    told = as_json(say("describe", "profile__city", "--json"))
    assert {bar["label"] for bar in told["bars"]} == {"Leeds", "York", "Hull"}
    assert told["origins"] == {"customers.city": {"people": "town"}}


def test_profile_writes_the_page_and_says_where(say: Say) -> None:
    told = as_json(say("profile", "--json", "--reference", "2026-03-15"))
    assert Path(told["page"]).is_file()
    assert Path(told["data"]).is_file()
    assert told["reference"].startswith("2026-02") or told["reference"].startswith("2026-03")
    code, out, _ = say("profile")
    assert code == 0
    assert "profile.html" in out
    assert say("profile", "--reference", "1999-01-01")[0] == 64
    assert "--reference is not a moment" in "".join(map(str, say("profile", "--reference", "xx")))


def test_before_anything_was_built_the_step_to_take_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["list"], ["describe", "orders__count_30d"], ["profile"]):
        assert _run(["features", *words, "--workspace", str(tmp_path)]) == 65
        assert "run `nextbest features` first" in capsys.readouterr().err
