"""Lengths of time as they are written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from features.base.duration import PositiveDuration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("2w", timedelta(weeks=2)),
        (" 5 m ", timedelta(minutes=5)),
        ("0d", timedelta(0)),
    ],
)
def test_a_whole_number_and_a_unit_are_a_length_of_time(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "30", "d", "1.5d", "-3d", "30 days", "3D", "1d12h", "٣d", "9" * 12 + "d", "36526d", None, 30]
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as 30d"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_what_is_written_is_read_again(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_no_time_at_all_is_refused_where_some_is_needed() -> None:
    adapter = TypeAdapter(PositiveDuration)
    assert adapter.validate_python("1s") == timedelta(seconds=1)
    with pytest.raises(ValueError, match="more than nothing"):
        adapter.validate_python("0d")
