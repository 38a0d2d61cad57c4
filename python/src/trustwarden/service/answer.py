"""What a service answers when it does not act: exact for its own log, vague for the visitor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .._codes import ERRORS
from ..errors import TrustWardenError
from ..receipts import Receipt, format_receipt_header
from .visit import RECEIPT_HEADER, as_refusal


@dataclass(frozen=True)
class RefusalAnswer:
    """An answer before it is written in one of the two styles."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def create_refusal(error: BaseException, receipt: Receipt | None, *, is_whole: bool = True) -> RefusalAnswer:
    """The answer to a refused visit, with the receipt when the refusal is a recorded decision.

    Without the whole of the request read, the connection ends: the rest would be taken for the next request.
    """
    known = as_refusal(error)
    body = json.dumps({"error": _public_error(known)}, separators=(",", ":")).encode()
    headers = {
        "cache-control": "no-store",
        "content-length": str(len(body)),
        "content-type": "application/json",
    }
    if receipt is not None:
        headers[RECEIPT_HEADER] = format_receipt_header(receipt)
    if not is_whole:
        headers["connection"] = "close"
    return RefusalAnswer(known.status, headers, body)


def _public_error(error: TrustWardenError) -> dict[str, str]:
    """401 collapses to one code and one sentence, so that a probe cannot learn which check stopped it."""
    code = "principal_refused" if error.status == 401 else error.code
    shown: dict[str, str] = {"code": code, "message": ERRORS[code][1]}
    if error.counterexample is not None:
        shown["counterexample"] = error.counterexample
    return shown
