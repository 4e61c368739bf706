"""The dialect means the same over arrays as in DuckDB, and refuses by name what it does not have."""

from __future__ import annotations

import math
import pickle
from datetime import date, datetime
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.base.errors import BadConfiguration, BadData
from features.base.expressions.expression import ALLOWED_FUNCTIONS, Expression, Values, describe_dialect, parse

TABLE = "b BOOLEAN, c BOOLEAN, i BIGINT, j BIGINT, f DOUBLE, g DOUBLE, s VARCHAR, t VARCHAR, d DATE, ts TIMESTAMP"
NAMES = [part.split()[0] for part in TABLE.split(", ")]
DTYPES: list[Any] = [object, object, object, object, float, float, object, object, "datetime64[D]", "datetime64[us]"]


@pytest.fixture(scope="module")
def database() -> Any:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE rows (n INTEGER, {TABLE})")
        yield connection


def in_duckdb(database: Any, expression: Expression, rows: list[tuple[Any, ...]]) -> list[Any]:
    database.execute("DELETE FROM rows")
    database.executemany(f"INSERT INTO rows VALUES (?{', ?' * len(NAMES)})", [(n, *row) for n, row in enumerate(rows)])
    sql = f"SELECT {expression.sql()} FROM rows ORDER BY n"
    return [value for (value,) in database.execute(sql).fetchall()]


def as_arrays(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    return {
        name: np.array([row[place] for row in rows], dtype=dtype)
        for place, (name, dtype) in enumerate(zip(NAMES, DTYPES, strict=True))
    }


def plain(values: Values) -> list[Any]:
    return [item if there else None for item, there in zip(values.data.tolist(), values.valid.tolist(), strict=True)]


def same(ours: Any, theirs: Any) -> bool:
    theirs = None if isinstance(theirs, float) and math.isnan(theirs) else theirs
    if ours is None or theirs is None:
        return ours is theirs
    if isinstance(ours, float) or isinstance(theirs, float):
        return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-300)
    return type(ours) is type(theirs) and bool(ours == theirs)


def one(text: str, **columns: Any) -> Any:
    arrays = {name: np.array([value], dtype=object) for name, value in columns.items()}
    return plain(parse(text).evaluate(arrays, rows=1))[0]


TEXTS = st.text(alphabet="abAB %_'ßéİσΣ1.-\u0301ῳ", max_size=6)
NUMBER_TEXTS = st.text(alphabet="0123456789.eE+-_ ", max_size=6)
TIME_TEXTS = st.sampled_from(
    ["2024-02-29", "2023-02-29", "2024/1/5", "2024-01-05T10:20", "2024-01-05 1:2:3.5", "x", ""]
)
HALVES = st.integers(-40, 40).map(lambda n: n / 2)
FLOATS = HALVES | st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-9)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))
BOOLS, INTS = st.booleans(), st.integers(-20, 20)
ROW = st.tuples(
    *(
        st.none() | kind
        for kind in (BOOLS, BOOLS, INTS, INTS, FLOATS, FLOATS, TEXTS | NUMBER_TEXTS | TIME_TEXTS, TEXTS, DATES, MOMENTS)
    )
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def shape(pattern: str, *parts: Any) -> Any:
    return st.tuples(*parts).map(lambda found: pattern.format(*found))


def grammar() -> dict[str, Any]:
    """Random expressions by the kind of their value."""
    made: dict[str, Any] = {}

    def later(kind: str) -> Any:
        return st.deferred(lambda: made[kind])

    small = st.integers(-4, 4)
    boolean, whole, number, text, day, moment = (later(kind) for kind in "bifsdt")
    either = st.sampled_from([boolean, whole, number, text, day, moment]).flatmap(lambda kind: kind)
    order = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
    unit = st.sampled_from(["second", "minute", "hour", "day", "week", "month", "year"])

    def choices(kind: Any) -> Any:
        return st.one_of(
            shape("case when {} then {} else {} end", boolean, kind, kind),
            shape("case when {} then {} when {} then null end", boolean, kind, boolean),
            shape("case {} when {} then {} else {} end", whole, whole, kind, kind),
            shape("coalesce({}, {}, null)", kind, kind),
            shape("nullif({}, {})", kind, kind),
            shape("least({}, {})", kind, kind),
            shape("greatest({}, {}, {})", kind, kind, kind),
        )

    made["b"] = st.sampled_from(["b", "c", "true", "false"]) | st.one_of(
        *(shape("({} {} {})", kind, order, kind) for kind in (whole, number, text, day, moment)),
        shape("({} {} {})", whole, order, number),
        shape("({} {} {})", day, order, moment),
        shape("(d >= '{}')", DATES),
        shape("({} and {})", boolean, boolean),
        shape("({} or {} or {})", boolean, boolean, whole),
        shape("(not {})", boolean),
        shape("({} is null)", either),
        shape("({} is not null)", either),
        shape("({} is not true)", boolean),
        shape("({} is false)", number),
        shape("({} in ({}, {}, null))", whole, small, small),
        shape("({} not in ({}, 2.5, 0, 1, 2, 3, 4, 5, 6))", number, small),
        shape("({} in ({}, {}))", text, TEXTS.map(quoted), TEXTS.map(quoted)),
        shape("({} between {} and {})", number, number, whole),
        shape("({} not like {})", text, TEXTS.map(quoted)),
        shape("({} ilike {})", text, TEXTS.map(quoted)),
        shape("starts_with({}, {})", text, text),
        shape("contains({}, {})", text, text),
        shape("try_cast({} as boolean)", text),
        shape("cast({} as boolean)", number),
        choices(boolean),
    )
    made["i"] = st.sampled_from(["i", "j", "3", "0"]) | st.one_of(
        shape("({} {} {})", whole, st.sampled_from("+-%"), whole),
        shape("(i * {})", small),
        shape("(- {})", whole),
        shape("abs({})", whole),
        shape("length({})", text),
        shape("try_cast({} as bigint)", text),
        shape("try_cast({} as bigint)", HALVES),
        shape("cast(f as bigint)"),
        shape("cast({} as bigint)", boolean),
        shape("date_diff('{}', {}, {})", st.sampled_from(["day", "hour", "month", "year"]), moment, day),
        shape("({} - {})", day, day),
        shape("{}({})", st.sampled_from(["year", "month", "day"]), moment | day),
        choices(whole),
    )
    made["f"] = st.sampled_from(["f", "g", "1.5", "0.0"]) | st.one_of(
        shape("({} {} {})", number, st.sampled_from("+-%/"), number),
        shape("({} / {})", whole, whole),
        shape("(f * {})", whole),
        shape("{}({})", st.sampled_from(["abs", "round", "floor", "ceil", "ln", "sqrt"]), number),
        shape("round(f, {})", st.integers(0, 3)),
        shape("exp(j)"),
        shape("power(j, {})", small | HALVES),
        shape("try_cast({} as double)", text),
        shape("cast({} as double)", whole),
        choices(number),
    )
    made["s"] = st.sampled_from(["s", "t", "'a'"]) | st.one_of(
        TEXTS.map(quoted),
        shape("({} || {})", text, either),
        shape("{}({})", st.sampled_from(["lower", "upper", "trim"]), text),
        shape("{}({}, {})", st.sampled_from(["left", "right", "substr"]), text, small),
        shape("substring({}, {}, {})", text, small, small),
        shape("replace({}, {}, {})", text, text, text),
        shape("cast({} as varchar)", either),
        choices(text),
    )
    made["d"] = st.just("d") | st.one_of(
        shape("DATE '{}'", DATES),
        shape("cast({} as date)", moment),
        shape("try_cast(s as date)"),
        choices(day),
    )
    made["t"] = st.just("ts") | st.one_of(
        shape("TIMESTAMP '{}'", MOMENTS.map(lambda moment: moment.replace(microsecond=0))),
        shape("(ts {} interval '{}' {})", st.sampled_from("+-"), st.integers(0, 40), unit),
        shape("(d + interval {} {})", st.integers(0, 40), unit),
        shape("cast({} as timestamp)", day),
        shape("try_cast(s as timestamp)"),
        choices(moment),
    )
    return made


EXPRESSIONS = st.one_of(*grammar().values())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=EXPRESSIONS, rows=st.lists(ROW, min_size=1, max_size=6))
def test_arrays_and_duckdb_give_the_same(database: Any, text: str, rows: list[tuple[Any, ...]]) -> None:
    try:
        expression = parse(text)
    except BadConfiguration as error:
        assert "nested too deeply" in error.first.message  # noqa: PT017 — the one refusal that a random text may meet
        return
    theirs = in_duckdb(database, expression, rows)
    arrays = as_arrays(rows)
    ours = plain(expression.evaluate(arrays, rows=len(rows)))
    assert all(map(same, ours, theirs)), (expression.sql(), ours, theirs)
    alone = [
        plain(expression.evaluate({k: v[n : n + 1] for k, v in arrays.items()}, rows=1))[0] for n in range(len(rows))
    ]
    assert all(map(same, alone, ours)), "one row online is the same as in the batch"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null and false", False),
        ("null and true", None),
        ("null or true", True),
        ("null or false", None),
        ("not null", None),
        ("null = null", None),
        ("1 in (2, null)", None),
        ("1 in (1, null)", True),
        ("1 not in (2, null)", None),
        ("3 between 4 and null", False),
        ("null is null", True),
        ("1 / 0", None),
        ("7 % 0", None),
        ("-7 % 3", -1),
        ("1 / 2", 0.5),
        ("round(2.5) + round(-2.5)", 0.0),
        ("'a' || null", None),
        ("ln(0)", None),
        ("sqrt(-1)", None),
        ("case when null then 1 end is null", True),
        ("DATE '2024-01-31' + interval 1 month = TIMESTAMP '2024-02-29 00:00:00'", True),
        ("upper('straße')", "STRAẞE"),
    ],
)
def test_literals_follow_sql(database: Any, text: str, value: Any) -> None:
    assert same(one(text), value)
    assert same(database.execute(f"SELECT {parse(text).sql()}").fetchone()[0], value)


def test_a_null_condition_counts_as_false() -> None:
    values = parse("a > 1").evaluate({"a": np.array([np.nan, 1.0, 2.0])}, rows=3)
    assert values.is_true().tolist() == [False, False, True]
    assert values.valid.tolist() == [False, True, True]


def test_text_is_not_a_condition() -> None:
    with pytest.raises(BadConfiguration, match="condition"):
        parse("a").evaluate({"a": np.array(["x"], dtype=object)}, rows=1).is_true()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("(select 1)", "SELECT"),
        ("select 1", "SELECT"),
        ("a in (select 1)", "SELECT"),
        ("exists(select 1)", "EXISTS"),
        ("read_csv('/etc/passwd')", "read_csv()"),
        ("read_text('x') is null", "read_text()"),
        ("getenv('HOME')", "getenv()"),
        ("lowr(a)", "did you mean lower()"),
        ("lcase(a)", "lcase()"),
        ("now() > a", "the present time is not available"),
        ("current_timestamp > a", "the present time is not available"),
        ("sum(a)", "sum()"),
        ("row_number() over ()", "row_number()"),
        ("lower(a) over (order by b)", "over()"),
        ("*", "*"),
        ("a = ?", "?"),
        ("a = $1", "$"),
        ("a = :x", ":"),
        ("a; drop table t", ";"),
        ("drop table t", "cannot be read"),
        ("a -- b", "comments"),
        ("a /* b */", "comments"),
        ("x -> x + 1", "->"),
        ("[1, 2]", "["),
        ("{'a': 1}", "{"),
        ("a[1]", "["),
        ("a::int", "::"),
        ("cast(a as blob)", "BLOB"),
        ("cast(a as decimal(3, 2))", "decimal()"),
        ("a as b", "cannot be read"),
        ("a b", "cannot be read"),
        ("a, b", "cannot be read"),
        ("a =", "cannot be read"),
        ("'open", "quotation"),
        ("", "empty"),
        ("--", "empty"),
        ("a // b", "//"),
        ("a ~ 'x'", "~"),
        ("a & 1", "&"),
        ("a similar to 'x'", "SIMILAR TO"),
        ("a is distinct from b", "FROM"),
        ("a like b", "LIKE"),
        ("a like 'x' escape 'y'", "ESCAPE"),
        ("a in (b)", "literals"),
        ("a in (1, 'x')", "IN mixes"),
        ("interval 1 day", "INTERVAL"),
        ("a * interval 1 day", "INTERVAL"),
        ("date_diff('eon', a, b)", "eon"),
        ("left(a, b)", "literals"),
        ("lower(distinct a)", "DISTINCT"),
        ('"lower"(a)', "quoted"),
        ("x'1f'", "cannot be read"),
        ("e'x'", "strings"),
        ("$$x$$", "strings"),
        ("1e999", "1e999"),
        ("DATE '2024-13-01'", "ISO"),
        ("trim(both 'x' from a)", "FROM"),
        ("a collate nocase", "COLLATE"),
        ("if(a, 1, 2)", "if()"),
        ("a" * 20_001, "20,001"),
        ("(" * 5_000 + "a" + ")" * 5_000, "nested"),
        ("not " * 4_000 + "a", "nested"),
        ("- " * 4_000 + "a", "nested"),
        ("case when " * 60 + "a", "nested"),
        ("abs(" * 60 + "a" + ")" * 60, "nested"),
        (" + ".join(["a"] * 500), "nested"),
        ("a = not " * 1_000 + "a", "nested"),
    ],
)
def test_what_is_outside_the_dialect_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse(text, where="serving/offers.yaml:12")
    assert refused.value.first.code == "expression"
    assert refused.value.first.where == "serving/offers.yaml:12"
    assert named in f"{refused.value.first.message} {refused.value.first.hint}"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="ab(),.'\"=<>+-*/%|;:$?[]{}1 \n", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text).sql()
    except BadConfiguration as refused:
        assert refused.first.code == "expression"  # noqa: PT017


def test_a_dotted_name_is_one_column_and_every_identifier_is_quoted(database: Any) -> None:
    expression = parse('crm_sales.segment = \'gold\' and "two words" > 1 and a.b.c.d.e is null and "q""x" = 1')
    assert expression.columns == {"crm_sales.segment", "two words", "a.b.c.d.e", 'q"x'}
    assert '"crm_sales.segment"' in expression.sql()
    assert '"q""x"' in expression.sql()
    hostile = parse('"x"" OR 1=1 --" = 1')
    assert hostile.columns == {'x" OR 1=1 --'}
    with pytest.raises(duckdb.BinderException):
        database.execute(f"SELECT {hostile.sql()}")


def test_a_quotation_mark_in_a_literal_stays_in_it(database: Any) -> None:
    assert database.execute(f"SELECT {parse(quoted(chr(39) + ' OR 1=1')).sql()}").fetchone() == ("' OR 1=1",)


def test_what_only_duckdb_can_run_says_so(database: Any) -> None:
    expression = parse("regexp_extract(a, '([0-9]+)', 1) = '7' and year(strptime(b, '%d/%m/%Y')) = 2024", where="x:1")
    assert expression.sql_only == ("regexp_extract", "strptime")
    for run in (expression.require_evaluable, lambda: expression.evaluate({}, rows=0)):
        with pytest.raises(BadConfiguration, match=r"regexp_extract\(\), strptime\(\) cannot run online"):
            run()
    row = "(SELECT 'x7' AS a, '01/02/2024' AS b)"
    assert database.execute(f"SELECT {expression.sql()} FROM {row}").fetchone() == (True,)
    truncated = parse("date_trunc('month', DATE '2024-02-03') = DATE '2024-02-01' and regexp_matches('abc', 'b+')")
    assert database.execute(f"SELECT {truncated.sql()}").fetchone() == (True,)


def test_a_cast_that_fails_is_bad_data_and_try_cast_is_null() -> None:
    with pytest.raises(BadData, match=r"1 value\(s\) cannot be converted to DOUBLE"):
        one("cast(a as double)", a="many")
    assert one("try_cast(a as double)", a="many") is None
    assert one("try_cast(a as double)", a=" NaN ") is None


def test_a_cast_in_a_branch_meets_only_its_own_rows() -> None:
    columns = {"k": np.array(["n", "t"], dtype=object), "a": np.array(["5", "many"], dtype=object)}
    values = parse("case when k = 'n' then cast(a as double) else 0 end").evaluate(columns, rows=2)
    assert values.data.tolist() == [5.0, 0.0]


@pytest.mark.parametrize(
    ("text", "columns", "named"),
    [
        ("a = 'x'", {"a": 1}, "mixes"),
        ("a + 1", {"a": "x"}, "needs a number"),
        ("not a", {"a": "x"}, "condition"),
        ("lower(a)", {"a": 1}, "needs text"),
        ("case when true then a else 'x' end", {"a": 1}, "mixes"),
        ("a = 1", {}, "not there"),
    ],
)
def test_types_that_do_not_fit_are_refused(text: str, columns: dict[str, Any], named: str) -> None:
    with pytest.raises(BadConfiguration, match=named):
        one(text, **columns)


def test_whole_numbers_that_overflow_are_an_error_not_a_wrapped_number() -> None:
    for text in ("a + a", "a * 3", "0 - a - a - a"):
        with pytest.raises(BadData, match="64 bits"):
            one(text, a=2**62)


def test_no_like_pattern_is_slow() -> None:
    assert one(f"a like '{'%a' * 200}b'", a="a" * 5_000) is False


def test_a_long_case_of_product_groups_is_read_and_run() -> None:
    whens = " ".join(f"when g = 'group {n}' then {n}" for n in range(500))
    assert one(f"case {whens} else -1 end", g="group 321") == 321
    assert one(" or ".join(f"g = 'x{n}'" for n in range(1_000)), g="x999") is True


def test_an_expression_is_equal_by_text_and_travels_between_processes() -> None:
    expression = parse("a + 1 > 2", where="here")
    again = pickle.loads(pickle.dumps(expression))  # noqa: S301 — our own bytes
    assert again == expression
    assert again.where == "here"
    assert again.evaluate({"a": np.array([2.0])}, rows=1).is_true().tolist() == [True]


def test_every_function_is_in_the_reference() -> None:
    assert all(f"| `{name}(" in describe_dialect() for name in ALLOWED_FUNCTIONS)
