"""Contact points are kept, not chosen: every e-mail address, telephone number and postal address of a customer."""

from __future__ import annotations

from pathlib import Path

import duckdb

from features.base.parquet import stream_parquet
from features.base.telephone import PhoneCountries
from features.identity.survivorship_rules import order_by

_ADDRESS = "concat_ws(', ', street, city, postcode)"
_SPELT = f"trim(regexp_replace(lower({_ADDRESS}), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))"
_EMAIL = "^[^@\\s]{1,64}@([^@\\s.]{1,63}[.])+[^@\\s.]{2,63}$"


def write_contact_points(
    engine: duckdb.DuckDBPyConnection, *, source: str, folder: Path, phones: PhoneCountries
) -> int:
    """Write ``personal/contact_points.parquet``: one row for each contact point of each customer.

    Spellings of one point are one row: e-mail addresses are compared in lower case, telephone numbers as identity
    compares them, addresses by the letters and digits of street, city and postcode. Its columns are ``customer_id``,
    ``kind`` (``email``, ``phone``, ``address``), ``value`` (as last written), ``normalised``, ``feeds``, ``records``
    (``feed:key``), ``first_seen`` (known since), ``last_seen`` (the last change of a record that holds it) and
    ``valid``: whether it is written as such a point is; unknown for addresses.

    Parameters
    ----------
    engine : has `source`
    source : relation of all customers' records with their personal fields
    folder : where the file goes
    phones : by which country telephone numbers are read

    Returns
    -------
    int : contact points written
    """
    path = folder / "personal" / "contact_points.parquet"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    number, compared = phones.e164_sql("phone"), phones.compared_sql("phone")
    return stream_parquet(
        engine.sql(
            f"""
            WITH points AS (
              SELECT *, 'email' AS kind, email AS value, lower(trim(email)) AS normalised, normalised AS point,
                     regexp_matches(trim(email), '{_EMAIL}') AS valid
              FROM {source} WHERE trim(email) <> ''
              UNION ALL
              SELECT *, 'phone', phone, coalesce({number}, {compared}, trim(phone)), coalesce({compared}, trim(phone)),
                     {number} IS NOT NULL OR ({phones.company is None} AND {compared} IS NOT NULL)
              FROM {source} WHERE regexp_matches(phone, '[0-9]')
              UNION ALL
              SELECT *, 'address', {_ADDRESS}, {_SPELT} AS normalised, normalised, NULL
              FROM {source} WHERE trim(street) <> '' OR trim(postcode) <> ''
            )
            SELECT customer_id, kind,
                   arg_max(value, {order_by()}) AS value,
                   arg_max(normalised, (normalised LIKE '+%', {order_by()})) AS normalised,
                   list_sort(list(DISTINCT feed)) AS feeds,
                   list_sort(list(feed || ':' || record_id)) AS records,
                   min(known_at) AS first_seen,
                   max(greatest(known_at, event_time)) AS last_seen,
                   bool_or(valid) AS valid
            FROM points
            GROUP BY customer_id, kind, point
            ORDER BY customer_id, kind, normalised
            """
        ).to_arrow_reader(),
        path,
    )
