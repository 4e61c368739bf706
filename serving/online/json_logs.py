"""Logs as one JSON object a line on standard error."""

from __future__ import annotations

import logging
import sys

import structlog


def log_json() -> None:
    """Send our logs to standard error as JSON, and silence those that would write down whose data was asked for."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Both write whole paths, and a path holds a customer's id.
    for name in ("uvicorn.access", "bentoml.access"):
        logging.getLogger(name).disabled = True
