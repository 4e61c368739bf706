"""Columns become the same numbers from a DataFrame and from a mapping, and what cannot is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.base.errors import BadData
from training.models.feature_encoding import Encoding

NA = np.nan


def code(error: pytest.ExceptionInfo[BadData]) -> tuple[str, str]:
    return error.value.first.code, error.value.first.where


def test_every_pandas_type_becomes_a_number() -> None:
    frame = pd.DataFrame(
        {
            "int": [1, 2, 3],
            "float": [0.5, None, 1.5],
            "bool": [True, False, True],
            "Int64": pd.array([1, None, 3], dtype="Int64"),
            "Float64": pd.array([1.5, None, 3], dtype="Float64"),
            "boolean": pd.array([True, None, False], dtype="boolean"),
            "object_numbers": [Decimal("1.5"), None, 2],
            "string": pd.array(["b", "a", None], dtype="string"),
            "category": pd.Categorical(["x", None, "x"]),
            "object": ["u", "u", None],
            "nothing": [None, None, None],
        }
    )
    encoding = Encoding.fit(frame, min_count=1)
    assert [c.name for c in encoding.columns if c.kind == "categorical"] == ["string", "category", "object"]
    expected = [
        [1, 0.5, 1, 1, 1.5, 1, 1.5, 1, 0, 0, NA],
        [2, NA, 0, NA, NA, NA, NA, 0, NA, 0, NA],
        [3, 1.5, 1, 3, 3.0, 0, 2.0, NA, 0, NA, NA],
    ]
    np.testing.assert_array_equal(encoding.matrix(frame), expected)
    np.testing.assert_array_equal(encoding.matrix({name: frame[name].tolist() for name in encoding.names}), expected)


def test_declared_text_that_no_row_fills_stays_text() -> None:
    encoding = Encoding.fit(pd.DataFrame({"city": pd.Series([None, None], dtype="string"), "age": [30, 40]}))
    assert [column.kind for column in encoding.columns] == ["categorical", "numeric"]
    np.testing.assert_array_equal(encoding.matrix({"city": ["York", None], "age": [1, 2]}), [[NA, 1], [NA, 2]])


def test_a_category_of_integers_is_one_level_however_it_is_spelt() -> None:
    encoding = Encoding.fit(pd.DataFrame({"plan": pd.Categorical([7, 7, 8])}), min_count=1)
    assert encoding.columns[0].levels == ("7", "8")
    assert encoding.matrix({"plan": [8, 8.0, np.int64(8), "8", Decimal(8), True]})[:, 0].tolist()[:5] == [1.0] * 5
    assert np.isnan(encoding.matrix({"plan": [True]})).all()


def test_rare_and_unmet_levels_share_a_code_if_training_met_rare_ones() -> None:
    town = ["york"] * 5 + ["bath"] * 6 + ["rye", "ely"]
    encoding = Encoding.fit(pd.DataFrame({"town": town}), min_count=2)
    assert encoding.columns[0].levels == ("bath", "york")
    assert encoding.matrix({"town": ["rye", "never met", "york"]})[:, 0].tolist() == [2.0, 2.0, 1.0]
    assert encoding.columns[0].decode(2.0) == "other"


def test_at_most_so_many_levels_are_kept_and_ties_go_by_name() -> None:
    encoding = Encoding.fit(pd.DataFrame({"x": ["c", "b", "a", "d"] * 3}), max_levels=2)
    assert encoding.columns[0].levels == ()  # three rows each is fewer than five
    assert Encoding.fit(pd.DataFrame({"x": ["c", "b", "a", "d"] * 5}), max_levels=2).columns[0].levels == ("a", "b")


def test_a_level_never_met_is_missing_if_every_level_was_kept() -> None:
    encoding = Encoding.fit(pd.DataFrame({"x": ["a", "b"] * 5}))
    assert np.isnan(encoding.matrix({"x": ["z", None, NA, pd.NA]})).all()


def test_an_absent_column_is_named() -> None:
    encoding = Encoding.fit(pd.DataFrame({"a": [1.0], "b": [2.0]}))
    with pytest.raises(BadData, match="1 of 2 features") as error:
        encoding.matrix({"a": [1.0]})
    assert code(error) == ("features.missing", "b")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, float("inf")], "features.infinite"),
        ([1.0, -float("inf")], "features.infinite"),
        ([None, float("inf")], "features.infinite"),
        (["1.0", "2.0"], "features.type"),
        ([1.0, "2.0"], "features.type"),
        ([datetime(2026, 1, 1, tzinfo=UTC)] * 2, "features.type"),
        ([[1.0], [2.0]], "features.type"),
        ([1.0], "features.length"),
    ],
)
def test_what_is_no_number_is_refused_with_its_column(values: list[object], expected: str) -> None:
    encoding = Encoding.fit(pd.DataFrame({"first": [1.0, 2.0], "amount": [1.0, 2.0]}))
    with pytest.raises(BadData) as error:
        encoding.matrix({"first": [1.0, 2.0], "amount": values})
    assert code(error) == (expected, "amount")


def test_an_infinite_category_is_refused() -> None:
    with pytest.raises(BadData) as error:
        Encoding.fit(pd.DataFrame({"x": ["a"] * 5})).matrix({"x": [np.inf]})
    assert code(error) == ("features.infinite", "x")


@pytest.mark.parametrize("values", [pd.to_datetime(["2026-01-01"]), pd.to_timedelta(["1d"]), [{"a": 1}], [b"x"]])
def test_a_column_that_can_be_no_feature_is_refused_when_learning(values: object) -> None:
    with pytest.raises(BadData) as error:
        Encoding.fit(pd.DataFrame({"odd": values}))
    assert code(error) == ("features.type", "odd")


def test_no_columns_and_twin_columns_are_refused() -> None:
    with pytest.raises(BadData, match=r"features\.none"):
        Encoding.fit(pd.DataFrame(index=[0]))
    with pytest.raises(BadData, match=r"features\.duplicate"):
        Encoding.fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_no_rows_give_an_empty_matrix() -> None:
    encoding = Encoding.fit(pd.DataFrame({"a": [1.0], "b": ["x"]}))
    assert encoding.matrix({"a": [], "b": []}).shape == (0, 2)


@given(st.lists(st.one_of(st.none(), st.text(), st.booleans(), st.integers(-5, 5)), min_size=1, max_size=30))
def test_a_description_survives_json_and_encodes_alike(values: list[object]) -> None:
    encoding = Encoding.fit(pd.DataFrame({"x": pd.Series(values, dtype="object")}), min_count=1, max_levels=3)
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert again == encoding
    np.testing.assert_array_equal(again.matrix({"x": values}), encoding.matrix({"x": values}))


@pytest.mark.parametrize("document", [[{}], [{"name": "a", "kind": "odd", "levels": [], "other": False}], [3]])
def test_what_describes_no_encoding_is_refused(document: list[object]) -> None:
    with pytest.raises(BadData, match=r"encoding\.document"):
        Encoding.from_json(document)  # type: ignore[arg-type]


def test_the_serving_worker_needs_numpy_alone() -> None:
    program = (
        "import sys; from training.models.feature_encoding import Encoding\n"
        "e = Encoding.from_json([{'name':'a','kind':'categorical','levels':['x'],'other':False}])\n"
        "assert e.matrix({'a':['x', None]})[0, 0] == 0.0\n"
        "print(sorted({'pandas','sklearn','lightgbm','scipy','mlflow','feast'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
