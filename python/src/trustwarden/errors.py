"""The one error class of the package, with the codes of `core/error.ts`.

Codes are stable, sentences are not. What a stranger may see of a failure is the table's sentence; `details` are
exact, for the caller's own log, and never hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from ._codes import ERRORS, ErrorCode

Detail = str | int | float | bool | Sequence[str] | None
"""One fact about a failure."""


class TrustWardenWarning(UserWarning):
    """Something went wrong in the background: a renewal, an outcome that could not be reported."""


class TrustWardenError(Exception):
    """Every failure that TrustWarden raises on purpose."""

    code: ErrorCode
    """Stable and machine-readable; see `docs/errors.md`."""
    details: Mapping[str, Detail]
    """Exact facts; `from` is `server` when the server sent the code."""

    def __init__(self, code: ErrorCode, details: Mapping[str, Detail] | None = None) -> None:
        super().__init__(f"{code}: {ERRORS[code][1]}")
        self.code = code
        self.details = dict(details or {})

    @property
    def status(self) -> int:
        """HTTP status of the code."""
        return ERRORS[self.code][0]

    @property
    def counterexample(self) -> str | None:
        """An action that a child could have done and its parent could not, after `scope_not_subset`."""
        value = self.details.get("counterexample")
        return value if isinstance(value, str) else None

    def __reduce__(self) -> tuple[type[TrustWardenError], tuple[ErrorCode, dict[str, Detail]]]:
        """Errors cross process pools with their code and details."""
        return (type(self), (self.code, dict(self.details)))


class DeniedError(TrustWardenError):
    """The decision was no: `denied`. Nothing was done."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Stable codes that say why."""
        reasons = self.details.get("reasons")
        return tuple(reasons) if isinstance(reasons, (list, tuple)) else ()


class ApprovalRequiredError(DeniedError):
    """The decision was to ask a human first: `approval_required`. Nothing was done."""

    @property
    def request(self) -> str:
        """What `wait_for_approval` takes."""
        return str(self.details.get("request", ""))


def fail(code: ErrorCode, details: Mapping[str, Detail] | None = None) -> TrustWardenError:
    """The error of a code, in its own class where it has one."""
    if code == "denied":
        return DeniedError(code, details)
    if code == "approval_required":
        return ApprovalRequiredError(code, details)
    return TrustWardenError(code, details)


def is_error_code(text: object) -> TypeGuard[ErrorCode]:
    """Whether text is a code of the table; used when a code comes back over the wire."""
    return isinstance(text, str) and text in ERRORS
