"""Questions of a service about its visitor: may this agent do that as well?

For what a route cannot say, such as the tool that a message names, or which of them to list. The answer is an
`evaluation` in the ledger and never a decision: the visit that it belongs to has its own. See Authorization API 1.0
section 7; docs/path.md, "Decisions that others enforce".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._json import Json, JsonObject
from ..answers import Members
from ..errors import fail
from ..scope import parse_action
from ..server import ServerCall, TrustServer, encode_body
from ..transport import Pool

_MAX_QUESTIONS = 100
"""Each of them leaves an event; the server takes no more at once."""


@dataclass(frozen=True)
class Question:
    """One thing that the visitor may or may not do."""

    action: str
    resource: str
    """A URI."""
    params: JsonObject | None = None
    """Arguments, for policies that look at them."""


@dataclass(frozen=True)
class Evaluation:
    """The engine's answer."""

    allow: bool
    event_id: str
    """In the ledger; empty for a question about nobody or nothing."""
    reasons: tuple[str, ...]


def ask_about(server: TrustServer, pool: Pool, spiffe_id: str, questions: Sequence[Question]) -> tuple[Evaluation, ...]:
    """Asks about one agent; a hundred questions at a time.

    Raises: TrustWardenError `action_malformed`, the server's refusal, `server_unreachable`.
    """
    asked = [_format(question) for question in questions]
    answers: list[Evaluation] = []
    for start in range(0, len(asked), _MAX_QUESTIONS):
        answers += _ask_some(server, pool, spiffe_id, asked[start : start + _MAX_QUESTIONS])
    return tuple(answers)


def _format(question: Question) -> JsonObject:
    action: dict[str, Json] = {"name": parse_action(question.action)}
    if question.params is not None:
        action["properties"] = question.params
    kind = question.action.split(":")[1]
    return {"action": action, "resource": {"type": kind, "id": question.resource}}


def _ask_some(
    server: TrustServer, pool: Pool, spiffe_id: str, questions: Sequence[JsonObject]
) -> tuple[Evaluation, ...]:
    subject: Mapping[str, Json] = {"type": "spiffe", "id": spiffe_id}
    body = encode_body({"subject": subject, "evaluations": questions})
    answers = server.call(ServerCall("POST", "/access/v1/evaluations", body), pool).objects("evaluations")
    # Fewer answers than questions would put one answer beside another's question.
    if len(answers) != len(questions):
        raise fail("server_untrusted", {"reason": "evaluations"})
    return tuple(map(_parse, answers))


def _parse(answer: Members) -> Evaluation:
    context = answer.object_or_none("context")
    if context is None:
        return Evaluation(answer.boolean("decision"), "", ())
    return Evaluation(answer.boolean("decision"), context.text("id"), context.texts("reasons"))
