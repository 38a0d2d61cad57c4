"""A model that says what it was told to, so that this runs without a vendor. Yours goes here."""

from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
)


class Scripted(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    def __init__(self, *turns: list[Content]) -> None:
        super().__init__()
        self._left = list(turns)

    def _inner_get_response(self, *, stream: bool, **_: Any) -> Any:
        return self._build_response_stream(self._streamed()) if stream else self._answered()

    async def _answered(self) -> ChatResponse:
        return ChatResponse(messages=[Message("assistant", self._left.pop(0))])

    async def _streamed(self) -> Any:
        yield ChatResponseUpdate(role="assistant", contents=self._left.pop(0))


def calls(**tools: dict[str, str]) -> list[Content]:
    return [Content.from_function_call(name, name, arguments=args) for name, args in tools.items()]


desk_model = Scripted(calls(researcher={"task": "How was the third quarter?"}), [Content.from_text("It was good.")])
researcher_model = Scripted(
    calls(read_file={"path": "reports/q3"}, delete_file={"path": "reports/q3"}), [Content.from_text("Profits rose.")]
)
clerk_model = Scripted(
    calls(read_record={"id": "7"}), calls(read_record={"id": "8"}), [Content.from_text("Record 7 is paid.")]
)
