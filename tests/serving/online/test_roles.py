"""Who may see what is declared strictly; a key is never written down, and never short."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from features.base.errors import BadConfiguration
from features.base.workspace import Workspace
from serving.online.api_keys import ensure_keys
from serving.online.role_settings import ACTIONS, FIELDS, NEEDED, ActionName, FieldName, RiskBands
from serving.online.roles import Role, compile_roles, load_roles, role_of

REPOSITORY = Path(__file__).resolve().parents[3]
FEATURES = {"profile__region", "purchases__count_30d"}
ONE = """\
roles:
  agent:
    key: ${file:state/keys/agent.key}
    purposes: [service]
    fields: [offers]
"""


def written(root: Path, text: str, *, key: str | None = "k" * 32) -> Workspace:
    (root / "serving").mkdir()
    (root / "serving" / "roles.yaml").write_text(text, encoding="utf-8")
    if key is not None:
        (root / "state" / "keys").mkdir(parents=True)
        (root / "state" / "keys" / "agent.key").write_text(key + "\n", encoding="utf-8")
    return Workspace(root)


def compiled(workspace: Workspace) -> tuple[Role, ...]:
    settings, lines = load_roles(workspace)
    return compile_roles(settings, lines, root=workspace.root, features=FEATURES, purposes={"service", "marketing"})


def test_a_key_stands_for_its_role_and_no_other_key_does(tmp_path: Path) -> None:
    roles = compiled(written(tmp_path, ONE))
    found = role_of("k" * 32, roles)
    assert found is not None
    assert found.name == "agent"
    for other in ("k" * 31, "k" * 33, "", "\ud800", "K" * 32):
        assert role_of(other, roles) is None
    assert "kkk" not in repr(roles)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("${file:state/keys/agent.key}", "s3cret-s3cret-s3cret", r"roles\.yaml:3.*a key is never written here"),
        ("${file:state/keys/agent.key}", "x-${env:HOME}", r"a key is never written here"),
        ("[offers]", "[ofers]", r"roles\.yaml:5"),
        ("purposes:", "purpose:", r"did you mean 'purposes'"),
        ("[service]", "[servce]", r"roles\.yaml:4: unknown purpose 'servce'[^\n]*\n.*did you mean 'service'"),
        ("fields:", "rows: same_teritory\n    fields:", r"roles\.yaml:5: unknown row rule[^\n]*\n.*row_rules"),
        ("fields:", "rows: profile__regoin = 'n'\n    fields:", r"unknown feature[^\n]*\n.*'profile__region'"),
        ("fields:", "rows: drop table x\n    fields:", r"roles\.yaml:5"),
        ("fields:", "actions: [decde]\n    fields:", r"roles\.yaml:5"),
        ("fields:", "actions: [decide, score]\n    fields:", r"roles\.yaml:5: 'score' needs a field"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        compiled(written(tmp_path, ONE.replace(old, new)))


def test_a_literal_key_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as error:
        compiled(written(tmp_path, ONE.replace("${file:state/keys/agent.key}", "s3cret-s3cret-s3cret")))
    assert "s3cret" not in str(error.value)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"roles\.yaml:3: the key has 19 characters"):
        compiled(written(tmp_path, ONE, key="k" * 19))


def test_an_absent_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"roles\.yaml:3: the file state/keys/agent\.key cannot be read"):
        compiled(written(tmp_path, ONE, key=None))


def test_two_roles_may_not_share_a_key(tmp_path: Path) -> None:
    two = ONE + ONE.replace("roles:\n", "").replace("agent:", "boss:")
    with pytest.raises(BadConfiguration, match="same key"):
        compiled(written(tmp_path, two))


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = ONE.replace("[service]", "[servce]").replace("fields:", "rows: nowhere\n    fields:")
    with pytest.raises(BadConfiguration) as error:
        compiled(written(tmp_path, text, key="short"))
    codes = {problem.code for problem in error.value.problems}
    assert codes == {"roles.unknown_purpose", "roles.unknown_row_rule", "roles.key_short"}


def test_a_key_from_the_environment_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KEY", "e" * 24)
    text = ONE.replace("${file:state/keys/agent.key}", "${env:AGENT_KEY}")
    assert role_of("e" * 24, compiled(written(tmp_path, text, key=None))) is not None


def test_missing_keys_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE, key=None)
    (made,) = ensure_keys(workspace)
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.parent.stat().st_mode & 0o077 == 0
    key = made.read_text(encoding="utf-8").strip()
    assert len(key) >= 43
    assert ensure_keys(workspace) == []
    assert role_of(key, compiled(workspace)) is not None


def test_no_key_is_made_outside_the_state(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE.replace("state/keys/agent.key", "state/../secrets/agent.key"), key=None)
    assert ensure_keys(workspace) == []
    assert not (tmp_path / "secrets").exists()


def test_every_field_says_what_it_covers() -> None:
    assert set(FIELDS) == set(get_args(FieldName))
    assert set(ACTIONS) == set(NEEDED) == set(get_args(ActionName))


def test_risk_is_banded() -> None:
    risk = RiskBands(medium=0.2, high=0.5)
    assert [risk.band(score) for score in (0.0, 0.199, 0.2, 0.499, 0.5, 1.0)] == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
        "high",
    ]


@pytest.mark.parametrize("root", [".", "tests/workspaces/online_retail", "tests/workspaces/telco"])
def test_the_roles_of_our_own_workspaces_can_be_read(root: str) -> None:
    settings, _ = load_roles(Workspace(REPOSITORY / root))
    assert settings.roles
