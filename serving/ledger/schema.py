"""The tables of the decision ledger; triggers of the database refuse changes and deletions."""

from __future__ import annotations

VERSION = 1

CREATE = """
CREATE TABLE IF NOT EXISTS decisions (
    decision_id      TEXT    NOT NULL PRIMARY KEY,
    customer_id      TEXT    NOT NULL,
    identity_version TEXT,
    decision_time    INTEGER NOT NULL,  -- microseconds since 1970, UTC; so are all times
    scope            TEXT    NOT NULL,
    channel          TEXT,
    purpose          TEXT,
    actor_role       TEXT    NOT NULL,
    control_group    INTEGER NOT NULL,
    selection_prob   REAL    NOT NULL,
    no_action_reason TEXT,
    policy_version   TEXT    NOT NULL,
    model_versions   TEXT    NOT NULL,  -- JSON object
    feature_time     INTEGER,
    consent_record   TEXT,
    refusals_id      TEXT    NOT NULL   -- the offers not made, stored once for all decisions with the same ones
);

CREATE INDEX IF NOT EXISTS decisions_of_customer ON decisions (customer_id, decision_time);
CREATE INDEX IF NOT EXISTS decisions_of_moment ON decisions (decision_time);

CREATE TABLE IF NOT EXISTS refusals (
    refusals_id TEXT NOT NULL PRIMARY KEY,
    blocked     TEXT NOT NULL           -- JSON: [[stage, rule, [offer, …]], …]
);

CREATE TABLE IF NOT EXISTS interactions (
    decision_id    TEXT NOT NULL,
    offer          TEXT NOT NULL,       -- NO_ACTION when nothing is offered
    offer_group    TEXT,
    purpose        TEXT,
    channel        TEXT,
    rank           INTEGER,
    propensity     REAL,
    value          REAL,
    cost           REAL,
    context_weight REAL,
    lever          REAL,
    priority       REAL,
    selection_prob REAL NOT NULL,
    reasons        TEXT NOT NULL,       -- JSON: [[code, text, subject, value], …]
    PRIMARY KEY (decision_id, offer)    -- together the interaction_id: decision_id/offer
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outcomes (
    outcome_id     TEXT    NOT NULL PRIMARY KEY,
    decision_id    TEXT    NOT NULL,
    offer          TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    outcome_time   INTEGER NOT NULL,
    outcome_value  REAL,
    reason         TEXT
);

CREATE INDEX IF NOT EXISTS outcomes_of_interaction ON outcomes (decision_id, offer);
"""

# INSERT OR REPLACE removes a row without firing the delete trigger, so a second insert of a key is passed over.
_GUARDS = """
CREATE TRIGGER IF NOT EXISTS {table}_no_update BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: an entry may not be changed'); END;

CREATE TRIGGER IF NOT EXISTS {table}_no_delete BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: an entry may not be removed'); END;

CREATE TRIGGER IF NOT EXISTS {table}_once BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})
BEGIN SELECT RAISE(IGNORE); END;
"""

_SAME = {
    "decisions": "decision_id = NEW.decision_id",
    "refusals": "refusals_id = NEW.refusals_id",
    "interactions": "decision_id = NEW.decision_id AND offer = NEW.offer",
    "outcomes": "outcome_id = NEW.outcome_id",
}


def statements() -> str:
    """Return the script that makes the tables and their guards; running it twice changes nothing."""
    guards = "".join(_GUARDS.format(table=table, same=same) for table, same in _SAME.items())
    return f"BEGIN IMMEDIATE;\n{CREATE}{guards}PRAGMA user_version = {VERSION};\nCOMMIT;"
