"""The control group: a fixed share of customers from whom marketing offers are withheld, to learn what offers do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from serving.decisioning.eligibility import Refusals
from serving.decisioning.reason_codes import Blocked, Stage
from serving.decisioning.request import BoolArray, DecisionRequest

RULE = "exploration.control"


def in_control(customer_ids: Sequence[str], *, share: float, salt: str) -> BoolArray:
    """Return who is in the control group: a salted hash of the id falls below the share.

    The same customer stays in the same arm for as long as salt and share stay, whatever else changes; a larger
    share only adds customers.

    Examples
    --------
    >>> in_control(["ann", "ben", "eve"], share=1.0, salt="2026").tolist()
    [True, True, True]
    """
    if share <= 0:
        return np.zeros(len(customer_ids), dtype=np.bool_)
    limit = int(share * 2**64)
    seed = hashlib.sha256(salt.encode())
    found = np.empty(len(customer_ids), dtype=np.bool_)
    for row, customer in enumerate(customer_ids):
        mixed = seed.copy()
        mixed.update(b"\x1f" + customer.encode())
        found[row] = int.from_bytes(mixed.digest()[:8], "big") < limit
    return found


def withhold(request: DecisionRequest, refusals: Refusals, control: BoolArray) -> None:
    """Block the marketing offers of the control group; mandatory and transactional offers are still made."""
    if not control.any():
        return
    for offer in request.policy.offers:
        if offer.marketing:
            refusals.block(offer.index, Blocked(offer.id, Stage.CONTROL, RULE), control)
