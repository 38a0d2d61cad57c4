"""A model that says what it was told to, so that this runs without a vendor. Yours goes here."""

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from agents import Model, ModelResponse, Usage, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

set_tracing_disabled(True)
numbers = count()


def say(text: str) -> list[Any]:
    content = [ResponseOutputText(text=text, type="output_text", annotations=[])]
    return [ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=content)]


def calls(**tools: dict[str, str]) -> list[Any]:
    return [
        ResponseFunctionToolCall(
            type="function_call", call_id=f"call_{next(numbers)}", name=name, arguments=json.dumps(args)
        )
        for name, args in tools.items()
    ]


class Scripted(Model):
    def __init__(self, *turns: list[Any]) -> None:
        self.turns = iter(turns)

    async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
        return ModelResponse(output=next(self.turns), usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("this example does not stream")


desk_model = Scripted(calls(ask_researcher={"input": "How was the third quarter?"}), say("It was good."))
researcher_model = Scripted(
    calls(read_file={"path": "reports/q3"}, delete_file={"path": "reports/q3"}), say("Profits rose.")
)
clerk_model = Scripted(calls(read_record={"id": "7"}), calls(read_record={"id": "8"}), say("Record 7 is paid."))
