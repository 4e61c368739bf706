"""Secrets are references, and no message holds one."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.errors import BadConfiguration
from features.base.workspace import is_reference, reveal


def test_a_variable_and_a_file_are_put_in_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "se${env:OTHER}cret")
    (tmp_path / "key").write_text("hidden\n", encoding="utf-8")
    text = reveal("a ${env:TOKEN} b ${file:key}", root=tmp_path, where="x.yaml:3")
    assert text == "a se${env:OTHER}cret b hidden"  # what a secret holds is not read again


@pytest.mark.parametrize(
    "reference", ["${env:NOWHERE}", "${env:EMPTY}", "${file:none}", "${file:.}", "${file:bytes}", "${file:blank}"]
)
def test_a_secret_that_is_not_there_is_named_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("TOKEN", "hush")
    (tmp_path / "bytes").write_bytes(b"hush\xff")
    (tmp_path / "blank").write_text(" \n", encoding="utf-8")
    with pytest.raises(BadConfiguration) as caught:
        reveal("${env:TOKEN}" + reference, root=tmp_path, where="x.yaml:3")
    assert (caught.value.first.code, caught.value.first.where) == ("secret.missing", "x.yaml:3")
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_only_a_whole_reference_is_one() -> None:
    assert is_reference("${env:A}")
    assert not is_reference("x${env:A}")
    assert not is_reference("secret")
