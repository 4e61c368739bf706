"""`nextbest init` on files as they lie about: beside the new folder, and not in UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.progress import Silent
from serving.cli.init_command import new_workspace

PEOPLE = "customer_id;first_name;last_name;email\n" + "".join(
    f"{n};J\u00fcrgen{n};M\u00fcller{n};j{n}@example.org\n" for n in range(30)
)


@pytest.mark.parametrize("linked", [False, True])
def test_a_latin_1_file_beside_the_new_folder_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "people.csv").write_text(PEOPLE, encoding="latin-1")
    if linked:
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / "shop").symlink_to(tmp_path / "deep" / "er")
    monkeypatch.chdir(tmp_path)
    proposal, _ = new_workspace(Path("shop"), ["given/people.csv"], Silent(), here=Path())
    (feed,) = proposal.feeds
    assert feed.given.settings["encoding"].value == "latin-1"
    assert (tmp_path / "shop" / feed.given.source).resolve() == tmp_path / "given" / "people.csv"
