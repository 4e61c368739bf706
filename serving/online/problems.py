"""Every error as one problem document (RFC 9457): stable code, place, request id; never a value that was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from features.base.errors import BadConfiguration, BadData, NextbestError, StorageFailure, Unreachable

MEDIA_TYPE = "application/problem+json"
_SAFE_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,60}$")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a request.

    Attributes
    ----------
    pointer : JSON pointer (RFC 6901) into the request's body
    headers : for the answer
    """

    status: int
    code: str
    detail: str
    pointer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, *, request_id: str) -> bytes:
        """Return the problem document.

        Examples
        --------
        >>> json.loads(Fault(404, "path.unknown", "no such path").body(request_id="r1"))["title"]
        'Not Found'
        """
        document = {
            "type": f"urn:nextbest:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "pointer": self.pointer,
            "request_id": request_id,
        }
        return json.dumps(document).encode()


class Refused(Exception):
    """Ends a request with a fault, which becomes the answer."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


def refuse(status: int, code: str, detail: str, *, pointer: str = "") -> Refused:
    """Return the exception that answers with this fault.

    Examples
    --------
    >>> refuse(404, "path.unknown", "no such path").fault.status
    404
    """
    return Refused(Fault(status, code, detail, pointer))


UNKNOWN_CUSTOMER = Fault(404, "customer.unknown", "no such customer")
"""Also the answer where the role may not see the customer, so that the two cannot be distinguished."""
UNKNOWN_DECISION = Fault(404, "ledger.unknown_decision", "the decision is not in the ledger", "/decision_id")
DEFECT = Fault(500, "defect", "an unexpected error; look for the request id in the service's log")
TOO_SLOW = Fault(504, "deadline", "no answer within the deadline")
BUSY = Fault(503, "busy", "the service has as many requests as it can take", headers={"Retry-After": "1"})


def of_error(error: NextbestError) -> Fault:
    """Return the fault of an error of this project: 4xx for what the ledger refuses, else 5xx.

    Examples
    --------
    >>> of_error(NextbestError("demo", "nothing works")).status
    500
    """
    code, detail = error.first.code, "the service cannot do this now"
    if not isinstance(error, BadData) or not code.startswith("ledger."):
        unavailable = isinstance(error, (BadData, StorageFailure, Unreachable, BadConfiguration))
        return Fault(503 if unavailable else 500, code, detail)
    status = 404 if code == "ledger.unknown_decision" else 422
    return Fault(status, code, error.first.message, f"/{error.first.where}")


def of_validation(errors: Sequence[Mapping[str, object]]) -> Fault:
    """Return the fault of a body that does not fit the model: the first place, and what is expected there.

    Examples
    --------
    >>> of_validation([{"loc": ("body", "customer_id"), "type": "missing", "msg": "Field required"}]).code
    'body.missing_key'
    """
    first = errors[0]
    location = first.get("loc")
    path = [part for part in location[1:] if part != "[key]"] if isinstance(location, tuple) else []
    kind = str(first.get("type"))
    if kind == "extra_forbidden":
        return Fault(422, "body.unknown_key", "unknown key", pointer_to(path))
    code = "body.missing_key" if kind == "missing" else "body.value"
    return Fault(422, code, str(first.get("msg")), pointer_to(path))


def pointer_to(path: Sequence[object]) -> str:
    """Return a JSON pointer; it ends before a key that is not a plain name, which may be personal data.

    Examples
    --------
    >>> pointer_to(["context", "weights", "toy-box"])
    '/context/weights'
    """
    parts: list[str] = []
    for part in path:
        if not isinstance(part, int) and _SAFE_KEY.match(str(part)) is None:
            break
        parts.append(str(part))
    return "".join(f"/{part}" for part in parts)
