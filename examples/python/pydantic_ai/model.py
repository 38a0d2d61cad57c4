"""A model that says what it was told to, so that this runs without a vendor. Yours goes here."""

from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel


def scripted(*turns: list[Any]) -> FunctionModel:
    left = iter(turns)
    return FunctionModel(lambda _messages, _info: ModelResponse(parts=next(left)))


def calls(**tools: dict[str, str]) -> list[Any]:
    return [ToolCallPart(name, args) for name, args in tools.items()]


desk_model = scripted(calls(ask_researcher={"question": "How was the third quarter?"}), [TextPart("It was good.")])
researcher_model = scripted(
    calls(read_file={"path": "reports/q3"}, delete_file={"path": "reports/q3"}), [TextPart("Profits rose.")]
)
clerk_model = scripted(calls(read_record={"id": "7"}), calls(read_record={"id": "8"}), [TextPart("Record 7 is paid.")])
