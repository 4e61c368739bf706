"""Settings are read strictly: every fault at once, each with its file, its line and what was probably meant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from features.base.errors import BadConfiguration, Problem
from features.config.feeds_file import FeedsFile
from features.config.loading import Faults, Settings, load
from features.config.views_file import ViewsFile


class Cat(Settings):
    kind: Literal["cat"]
    lives: int = 9


class Dog(Settings):
    kind: Literal["dog"]
    tricks: tuple[str, ...] = ()


class Owner(Settings):
    name: str
    source: str = Field(default="", alias="from")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    spare: Cat | Dog | None = None
    friends: tuple[Cat, ...] = ()


class House(Settings):
    owners: dict[str, Owner] = Field(default_factory=dict)
    open: str = ""


def read(folder: Path, text: str | bytes, model: type[Settings] = House) -> Settings:
    path = folder / "house.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, model, name="conf/house.yaml")[0]


def faults(folder: Path, text: str | bytes, model: type[Settings] = House) -> tuple[Problem, ...]:
    with pytest.raises(BadConfiguration) as caught:
        read(folder, text, model)
    assert caught.value.exit_code == 78
    assert all(problem.hint for problem in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("opne: x\n", 1, "did you mean 'open'?"),
        ("owners:\n  ann:\n    name: Ann\n    nmae: Bea\n", 4, "did you mean 'name'?"),
        ("owners:\n  ann:\n    name: Ann\n    form: x\n", 4, "did you mean 'from'?"),
        ("owners:\n  ann:\n    name: Ann\n    pet:\n      kind: cat\n      live: 3\n", 6, "did you mean 'lives'?"),
        (
            "owners:\n  ann:\n    name: Ann\n    friends:\n      - kind: cat\n        live: 3\n",
            6,
            "did you mean 'lives'?",
        ),
        ("owners:\n  ann:\n    name: Ann\n    qqqq: 1\n", 4, "known here: friends, from, name, pet, spare"),
    ],
)
def test_an_unknown_key_is_refused_at_any_depth(tmp_path: Path, text: str, where: int, hint: str) -> None:
    (problem,) = faults(tmp_path, text)
    assert (problem.code, problem.where, problem.hint) == ("config.unknown_key", f"conf/house.yaml:{where}", hint)


def test_a_fault_in_a_union_is_named_as_it_is_written(tmp_path: Path) -> None:
    text = "owners:\n  ann:\n    name: Ann\n    pet:\n      kind: dog\n      trikcs: [sit]\n"
    (problem,) = faults(tmp_path, text)
    assert problem.message == "unknown key 'owners.ann.pet.trikcs'"
    text = "owners:\n  ann:\n    name: Ann\n    spare:\n      kind: cat\n      livs: 1\n"
    found = {problem.message: problem for problem in faults(tmp_path, text)}
    assert found["unknown key 'owners.ann.spare.livs'"].where == "conf/house.yaml:6"


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = "open: [1]\nowners:\n  ann: {nmae: x}\n  bob:\n    name: Bob\n    pet: {kind: bird}\n"
    found = [(problem.code, problem.where) for problem in faults(tmp_path, text)]
    assert found == [
        ("config.missing_key", "conf/house.yaml:3"),
        ("config.unknown_key", "conf/house.yaml:3"),
        ("config.value", "conf/house.yaml:6"),
        ("config.value", "conf/house.yaml:1"),
    ]


def test_a_key_that_stands_twice_is_refused_with_its_second_line(tmp_path: Path) -> None:
    (problem,) = faults(tmp_path, "owners:\n  ann:\n    name: Ann\n    name: Bea\n")
    assert (problem.code, problem.where) == ("config.duplicate_key", "conf/house.yaml:4")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("open: 'x\n", 2),
        ("open: x\n  owners: y\n", 2),
        ("open: x\n\towners: y\n", 2),
        ("open: {a: [1, 2}\n", 1),
        ("open: x\n--- \nopen: y\n", 2),
        ("open: !!python/object:os.system x\n", 1),
        ("open: *nobody\n", 1),
        ("open: x\nowners: \x01\n", 2),
        ("{a, b}: x\n", 1),
        ("? [a, b]\n: x\n", 1),
        ("open: 2026-02-31\n", 0),
        ("a: &a [*a]\n", 1),
        ("open: " + "[" * 500 + "]" * 500, 0),
        ("open: " + "[" * 5_000 + "]" * 5_000, 0),
        (
            "a: &a [1,1,1,1,1,1,1,1]\n"
            + "".join(f"{y}: &{y} [{','.join(['*' + x] * 8)}]\n" for x, y in zip("abcdefg", "bcdefgh", strict=True)),
            0,
        ),
    ],
)
def test_what_is_not_sound_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    (problem,) = faults(tmp_path, text)
    assert problem.code == "config.yaml"
    assert problem.where.startswith("conf/house.yaml")
    assert line == 0 or problem.where == f"conf/house.yaml:{line}"


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "Yes", "NO"])
def test_on_and_yes_stay_text(tmp_path: Path, word: str) -> None:
    house = read(tmp_path, f"open: {word}\nowners: {{{word}: {{name: {word}}}}}\n")
    assert isinstance(house, House)
    assert (house.open, house.owners[word].name) == (word, word)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load(tmp_path / "none.yaml", House, name="conf/none.yaml")
    assert (caught.value.first.code, caught.value.first.where) == ("config.missing", "conf/none.yaml")
    assert "--workspace" in caught.value.first.hint


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"config\.unreadable"):
        load(tmp_path, House, name="conf/house.yaml")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (problem,) = faults(tmp_path, "open: zoë\n".encode("latin-1"))
    assert problem.code == "config.encoding"


def test_a_file_with_nothing_in_it_is_an_empty_mapping(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n") == House()
    (problem,) = faults(tmp_path, "- a\n")
    assert problem.message.startswith("the file: ")


def test_settings_cannot_be_changed_after_they_are_read(tmp_path: Path) -> None:
    house = read(tmp_path, "open: x\n")
    with pytest.raises(ValidationError, match="frozen"):
        house.open = "y"  # type: ignore[attr-defined]


def test_a_model_may_find_several_faults_in_itself() -> None:
    assert str(Faults([(("a",), "one"), ((), "two")])) == "one; two"


def test_every_fault_of_the_feeds_is_told_at_its_own_line(tmp_path: Path) -> None:
    text = """\
feeds:
  crm:
    source: crm.csv
    kind: customers
    fields: {emial: mail}
  till:
    source: till.csv
    kind: events
    customer: crn.id = till.who
  shop:
    source: shop.csv
    kind: holdings
    customer: crm.id
    event: x
"""
    found = {
        (problem.where.split(":")[1], problem.message.split(": ", 1)[1])
        for problem in faults(tmp_path, text, FeedsFile)
    }
    assert found == {
        ("5", "customers has no field 'emial': did you mean 'email'?"),
        ("2", "a feed of customers needs a key"),
        ("6", "a feed of events needs event_time"),
        ("6", "name the event's type once: `event: NAME`, or an expression under fields"),
        ("13", "write customer as `feed.column = thisfeed.column`"),
        ("10", "a feed of holdings has to map item, held_from"),
        ("14", "`event` belongs to feeds of events only"),
    }


def test_every_link_and_order_that_leads_nowhere_is_told_at_its_line(tmp_path: Path) -> None:
    text = """\
feeds:
  crm: {source: a.csv, kind: customers, key: id}
  till:
    {source: b.csv, kind: events, event: x, event_time: at, customer: cmr.id = till.who}
  web:
    {source: b.csv, kind: events, event: x, event_time: at, customer: crm.id = till.who}
survivorship:
  fields:
    emial: {rule: source_priority, order: [crm]}
    phone: {rule: source_priority, order: [web]}
"""
    found = {problem.where.split(":")[1]: problem.message for problem in faults(tmp_path, text, FeedsFile)}
    assert found["4"] == "feeds.till.customer: 'cmr' is not a feed of customers: did you mean 'crm'?"
    assert found["6"] == "feeds.web.customer: one side of the link has to be web.COLUMN"
    assert "did you mean 'email'?" in found["9"]
    assert "'web' is not a feed of customers" in found["10"]


def test_views_are_refused_with_their_line(tmp_path: Path) -> None:
    text = "views:\n  p:\n    from: events\n    aggregates: {amount: [summ]}\n    windows: [30 days]\n"
    found = [problem.where for problem in faults(tmp_path, text, ViewsFile)]
    assert found == ["conf/house.yaml:4", "conf/house.yaml:5"]
