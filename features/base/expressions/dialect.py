"""The functions, types and words of the expression dialect, its syntax tree, and errors for anything else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

MAX_LENGTH = 20_000  # a CASE over all product groups is long, and still a setting
MAX_NESTING = 32  # sqlglot spends about 16 Python frames on each level
MAX_DEPTH = 64

ALLOWED_FUNCTIONS: Mapping[str, str] = {
    "abs": "abs(number)",
    "cast": "cast(x AS DOUBLE | BIGINT | VARCHAR | DATE | TIMESTAMP | BOOLEAN); fails on what cannot be converted",
    "ceil": "ceil(number): a DOUBLE",
    "coalesce": "coalesce(x, …): the first that is not null",
    "contains": "contains(text, part)",
    "date_diff": "date_diff('day' | 'hour' | 'month' | 'year', from, to): boundaries crossed",
    "date_trunc": "date_trunc('day' | 'hour' | 'week' | 'month' | 'year', time)",
    "day": "day(time): day of the month",
    "exp": "exp(number)",
    "floor": "floor(number): a DOUBLE",
    "greatest": "greatest(x, …): nulls are passed over",
    "least": "least(x, …): nulls are passed over",
    "left": "left(text, 3); a negative count leaves out that many at the end",
    "length": "length(text): in characters",
    "ln": "ln(number): null unless positive",
    "lower": "lower(text)",
    "month": "month(time)",
    "nullif": "nullif(x, y): null where equal, else x",
    "power": "power(number, number): null where undefined",
    "regexp_extract": "regexp_extract(text, 'pattern'[, group])",
    "regexp_matches": "regexp_matches(text, 'pattern')",
    "replace": "replace(text, from, to)",
    "right": "right(text, 3); a negative count leaves out that many at the start",
    "round": "round(number[, digits]): half away from zero, a DOUBLE",
    "sqrt": "sqrt(number): null if negative",
    "starts_with": "starts_with(text, prefix)",
    "strptime": "strptime(text, 'format')",
    "substr": "substr(text, start[, length]): the first character is 1",
    "substring": "substring(text, start[, length]): the same as substr",
    "trim": "trim(text): without spaces around",
    "try_cast": "try_cast(x AS …): null on what cannot be converted",
    "upper": "upper(text)",
    "year": "year(time)",
}
SQL_ONLY = frozenset({"date_trunc", "regexp_extract", "regexp_matches", "strptime"})
DIFF_UNITS = ("day", "hour", "month", "year")
TRUNC_UNITS = ("day", "hour", "week", "month", "year")
INTERVAL_UNITS = ("second", "minute", "hour", "day", "week", "month", "year")

_BEFORE_PARENTHESIS = frozenset(
    {"and", "or", "not", "in", "between", "like", "ilike", "case", "when", "then", "else", "is"}
)
_STATEMENT_WORDS = frozenset(
    {"select", "from", "where", "with", "union", "having", "group", "order", "limit", "qualify", "window", "lateral"}
    | {"lambda", "into", "using", "exists", "any", "all", "some", "collate", "returning", "create"}
)
_PUNCTUATION = frozenset({"(", ")", ",", ".", "+", "-", "*", "/", "%", "=", "<>", "!=", "<", "<=", ">", ">=", "||"})
_CLOCKS = frozenset({"now", "today", "getdate", "current_date", "current_time", "current_timestamp"})
_EQUAL_SIGNS = {"==": "="}
_OTHER_STRINGS = frozenset(["BYTE", "HEREDOC", "RAW", "NATIONAL", "UNICODE", "HEX", "BIT"])
TYPES = {
    "DOUBLE": "DOUBLE",
    "BIGINT": "BIGINT",
    "VARCHAR": "VARCHAR",
    "TEXT": "VARCHAR",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPNTZ": "TIMESTAMP",
    "BOOLEAN": "BOOLEAN",
}
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?\Z")


class RefusedError(Exception):
    """What is wrong with an expression, without its place in a file."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Node:
    """One operation: its name, its operands, and its constant (a column's name, a literal, a unit, a type)."""

    op: str
    args: tuple[Node, ...] = ()
    value: Any = None


def describe() -> str:
    """Return one paragraph that describes the dialect."""
    return (
        "columns (plain, dotted, \"quoted\"); numbers, 'text', true, false, null, DATE '…', TIMESTAMP '…'; "
        "time ± INTERVAL '30' DAY; = <> < <= > >=; AND OR NOT; IS [NOT] NULL|TRUE|FALSE; [NOT] IN (literals); "
        "[NOT] BETWEEN; [NOT] LIKE|ILIKE 'pattern'; + - * / %; ||; CASE; and the functions "
        + ", ".join(sorted(ALLOWED_FUNCTIONS))
    )


def iso_time(text: str, *, kind: str) -> np.datetime64 | None:
    """Return an ISO date (kind ``DATE``) or time (kind ``TIMESTAMP``; a date is its midnight), or None."""
    try:
        if kind == "DATE":
            return np.datetime64(date.fromisoformat(text), "D") if _ISO_DATE.match(text) else None
        if _ISO_DATE.match(text) or _ISO_TIME.match(text):
            return np.datetime64(datetime.fromisoformat(text), "us")
    except ValueError:
        pass
    return None


def check_tokens(tokens: list[Any]) -> None:
    """Refuse tokens outside the dialect before parsing, since the parser may rewrite them."""
    if not tokens:
        raise RefusedError("the expression is empty")
    depth = 0
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        name, kind = token.text.lower(), token.token_type.name
        if token.comments:
            raise RefusedError("comments are not allowed in an expression", "write the comment in YAML, after #")
        calls = following is not None and following.token_type.name == "L_PAREN"
        if kind in ("STRING", "NUMBER"):
            continue
        if kind == "IDENTIFIER":
            if calls:
                raise RefusedError(f'"{token.text}" is quoted, so it is a column and cannot be called')
            continue
        if any(kind == f"{prefix}_STRING" for prefix in _OTHER_STRINGS):
            raise RefusedError(f"{kind.lower().replace('_', ' ')}s are not allowed", "write 'text' in single quotes")
        if not re.match(r"[^\W\d]\w*\Z", name):
            if _EQUAL_SIGNS.get(name, name) not in _PUNCTUATION:
                raise RefusedError(f"'{token.text}' is not allowed", f"allowed: {describe()}")
        elif name in _STATEMENT_WORDS:
            raise RefusedError(f"{name.upper()} is not allowed", f'a column of that name is written "{name}"')
        elif name in _CLOCKS and name.startswith("current"):
            raise RefusedError(f"{name} is not allowed", _function_hint(name))
        elif calls and name not in _BEFORE_PARENTHESIS and name not in ALLOWED_FUNCTIONS:
            raise RefusedError(f"the function {name}() is not allowed", _function_hint(name))
        depth += (name in ("(", "case")) - (name in (")", "end"))
        if depth > MAX_NESTING:
            raise RefusedError(f"the expression is nested too deeply (at most {MAX_NESTING} levels)")


def _function_hint(name: str) -> str:
    if name in _CLOCKS:
        return (
            "the present time is not available, so that decisions can be repeated: compare with a column or a literal"
        )
    close = difflib.get_close_matches(name, ALLOWED_FUNCTIONS, n=1)
    guess = f"did you mean {close[0]}()? " if close else ""
    return f"{guess}allowed: {', '.join(sorted(ALLOWED_FUNCTIONS))}"
