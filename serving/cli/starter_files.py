"""The files of a new workspace that do not depend on its feeds, and the small invented company of an empty one."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

MLFLOW = """\
# Where runs and models are kept, and what a new model must show before it becomes champion.
tracking_uri: sqlite:///state/mlflow/mlflow.db # or postgresql://…; a secret only as ${env:NAME} or ${file:PATH}
artifacts: state/mlflow/artifacts # or s3://…
experiment: nextbest
gates:
  min_positives: 50 # TG001: fewer prove nothing
  max_ece: 0.05 # TG003: a probability of 10 % must mean 10 %
  max_single_auc: 0.95 # TG004: one feature that nearly gives the answer away is a leak
  champion_tolerance: 0.005 # TG006: as good as the champion, within this
"""

FEATURE_STORE = """\
# Feast's own file. Paths are meant from the workspace. Everything lies in local files; no server is needed.
project: nextbest
provider: local
registry:
  registry_type: sql
  path: sqlite:///state/feast/registry.db
  cache_ttl_seconds: 600
offline_store:
  type: features.store.offline.PointInTimeOfflineStore # Feast's own lose or reorder rows, and are refused
online_store:
  type: features.store.online.SqliteOnlineStore
  path: state/feast/online.db
entity_key_serialization_version: 3
"""

_OFFERS = """\
# The offer catalogue. These are examples: put yours in their place. Margins and costs are in the company's currency.
offers:
"""
_OFFER = """\
  - id: {id}
    title: {title}
    group: {group}
    purpose: {purpose}
    channels: [{channel}]
    value: {{margin: {margin}, cost: {cost}}} # what it is worth when it is taken, and what the contact costs
    caps: [{{every: 90d, at_most: 1}}]
    suppress: [{{after: rejected, for: 90d}}]
    score: {{propensity: {propensity}, evidence: 20}} # stated until a model is trained: {{model: …}}
"""
_POLICY = """\
policy:
  exploration: {control: 0.02} # the share from whom offers are withheld, to learn what they do
  top: 3
"""
_EXAMPLES: tuple[dict[str, str], ...] = (
    {"id": "call-to-ask", "title": "A call to ask how things are", "group": "service", "purpose": "service"}
    | {"channel": "agent", "margin": "10", "cost": "5", "propensity": "0.6"},
    {"id": "come-back", "title": "A reason to come back", "group": "retention", "purpose": "retention"}
    | {"channel": "email", "margin": "10", "cost": "0.1", "propensity": "0.1"},
    {"id": "something-new", "title": "Something they do not have yet", "group": "upsell", "purpose": "marketing"}
    | {"channel": "email", "margin": "10", "cost": "0.1", "propensity": "0.1"},
)

_ROLES = (
    ("sales_agent", ("marketing",), ("offers", "reasons")),
    ("service_agent", ("service", "retention"), ("offers", "reasons", "risk_band")),
)

IGNORED = """\
# What is produced is not kept in git. state/identity, state/consent and state/keys cannot be made again.
state/
"""

CUSTOMERS = """\
customer_id,first_name,last_name,email,date_of_birth,city,country,segment,modified
C-001,Ann,Miller,ann.miller@example.com,1984-05-17,York,UK,private,2026-01-05
C-002,Ben,Okafor,ben.okafor@example.com,1991-11-02,Leeds,UK,private,2026-02-11
C-003,Chloe,Dubois,chloe.dubois@example.com,1978-08-30,Lyon,France,business,2026-02-20
C-004,Ann,Miller,ann.miller@example.com,1984-05-17,York,UK,private,2026-03-01
"""

PURCHASES = """\
invoice_no,customer_id,product_id,quantity,amount,purchased_at
1001,C-001,tea-green,2,9.80,2026-01-07 10:12:00
1002,C-002,tea-black,1,4.20,2026-02-12 16:40:00
1003,C-003,cup-blue,6,54.00,2026-02-25 09:05:00
1004,C-004,tea-green,1,4.90,2026-03-04 18:30:00
1005,C-001,cup-blue,1,9.00,2026-03-09 11:55:00
"""


def offers_yaml(purposes: Collection[str], contacts: Collection[str]) -> str:
    """Return ``serving/offers.yaml``: one example for each declared purpose that a contact point allows.

    Parameters
    ----------
    purposes : that the workspace declares
    contacts : personal fields that its customers have, such as ``email``

    Examples
    --------
    >>> print(offers_yaml(["service", "marketing"], ["phone"]).splitlines()[2])
      - id: call-to-ask
    """
    fitting = [o for o in _EXAMPLES if o["purpose"] in purposes and (o["channel"] == "agent" or "email" in contacts)]
    return _OFFERS + "".join(_OFFER.format(**offer) for offer in fitting) + _POLICY


def roles_yaml(purposes: Collection[str]) -> str:
    """Return ``serving/roles.yaml``: two roles, for those of their purposes that are declared.

    Parameters
    ----------
    purposes : that the workspace declares

    Examples
    --------
    >>> print(roles_yaml(["service"]))
    # Who may see what, for which purpose. Keys are never written here, only where they lie.
    roles:
      service_agent:
        key: ${file:state/keys/service_agent.key}
        purposes: [service]
        fields: [offers, reasons, risk_band]
    <BLANKLINE>
    """
    lines = ["# Who may see what, for which purpose. Keys are never written here, only where they lie.", "roles:"]
    for role, wanted, fields in _ROLES:
        declared = [purpose for purpose in wanted if purpose in purposes]
        if declared:
            lines += [f"  {role}:", f"    key: ${{file:state/keys/{role}.key}}"]
            lines += [f"    purposes: [{', '.join(declared)}]", f"    fields: [{', '.join(fields)}]"]
    return "\n".join(lines) + "\n"


def labels_yaml(*, field: str, positive: str, event: str, excluded: Sequence[str]) -> str:
    """Return ``training/labels.yaml``: a recorded answer where a column holds one, else customers who stop coming.

    Parameters
    ----------
    field, positive : the column that holds the answer, and the value that means yes; empty without one
    event : the events that stop when a customer leaves; empty without any
    excluded : columns that may not be learnt from

    Examples
    --------
    >>> print(labels_yaml(field="", positive="", event="purchase", excluded=[]))
    # What each model predicts. Proposed by `nextbest init`: a beginning.
    models:
      leaving:
        label: {kind: inactivity, event: purchase, horizon: 90d} # whoever does nothing for 90 days has left
        population: {active_within: 180d}
    validation: {scheme: time, folds: 3}
    exclude: []
    """
    lines = ["# What each model predicts. Proposed by `nextbest init`: a beginning.", "models:"]
    if not field and not event:
        lines[1:] = [
            "# No feed has events, and no column records an outcome: there is nothing to learn from yet. With events:",
            "#  leaving:",
            "#    label: {kind: inactivity, event: purchase, horizon: 90d} # whoever does nothing for 90 days has left",
            "models: {}",
        ]
    elif field:
        name = re.sub(r"^.*\.", "", field)
        lines += [
            f"  {name if re.match(r'[a-z][a-z0-9_]*$', name) else 'answer'}:",
            f"    # {field} looks like an answer: one of two values a row",
            f"    label: {{kind: recorded, field: {field}, positive: {positive}}}",
            "validation: {scheme: customer, folds: 5}",
        ]
    else:
        meaning = "whoever does nothing for 90 days has left"
        lines += [
            "  leaving:",
            f"    label: {{kind: inactivity, event: {event}, horizon: 90d}} # {meaning}",
            "    population: {active_within: 180d}",
            "validation: {scheme: time, folds: 3}",
        ]
    lines.append("# May say as of today what a model of the past should foretell:" if excluded else "exclude: []")
    if excluded:
        lines += ["exclude:", *(f"  - {column}" for column in excluded)]
    return "\n".join(lines) + "\n"
