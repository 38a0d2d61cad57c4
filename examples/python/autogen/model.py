"""A model that says what it was told to, so that this runs without a vendor. Yours goes here."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from autogen_core import FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult, ModelInfo, RequestUsage

NOTHING = RequestUsage(prompt_tokens=0, completion_tokens=0)


def say(text: str) -> CreateResult:
    return CreateResult(finish_reason="stop", content=text, usage=NOTHING, cached=False)


def calls(**tools: dict[str, str]) -> CreateResult:
    asked = [FunctionCall(id=name, name=name, arguments=json.dumps(args)) for name, args in tools.items()]
    return CreateResult(finish_reason="function_calls", content=asked, usage=NOTHING, cached=False)


class Scripted(ChatCompletionClient):
    def __init__(self, *turns: CreateResult) -> None:
        self.turns = iter(turns)

    async def create(self, *_: Any, **__: Any) -> CreateResult:
        return next(self.turns)

    async def create_stream(self, *_: Any, **__: Any) -> AsyncGenerator[str | CreateResult, None]:
        yield next(self.turns)

    async def close(self) -> None:
        pass

    def actual_usage(self) -> RequestUsage:
        return NOTHING

    def total_usage(self) -> RequestUsage:
        return NOTHING

    def count_tokens(self, *_: Any, **__: Any) -> int:
        return 0

    def remaining_tokens(self, *_: Any, **__: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
        )


desk_model = Scripted(calls(researcher={"task": "How was the third quarter?"}), say("It was good."))
researcher_model = Scripted(
    calls(read_file={"path": "reports/q3"}, delete_file={"path": "reports/q3"}), say("Profits rose.")
)
clerk_model = Scripted(calls(read_record={"id": "7"}), calls(read_record={"id": "8"}), say("Record 7 is paid."))
