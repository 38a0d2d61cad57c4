"""A model that says what it was told to, so that this runs without a vendor. Yours goes here."""

import json
from typing import Any

from crewai import BaseLLM
from pydantic import PrivateAttr


class Scripted(BaseLLM):
    _left: list[Any] = PrivateAttr(default_factory=list)

    def call(self, *_: Any, **__: Any) -> Any:
        return self._left.pop(0)

    def supports_function_calling(self) -> bool:
        return True


def scripted(*turns: Any) -> Scripted:
    model = Scripted(model="scripted")
    model._left = list(turns)
    return model


def calls(**tools: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"id": name, "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
        for name, args in tools.items()
    ]


desk_model = scripted(
    calls(
        ask_question_to_coworker={
            "question": "How was the third quarter?",
            "context": "none",
            "coworker": "researcher",
        }
    ),
    "It was good.",
)
researcher_model = scripted(
    calls(read_file={"path": "reports/q3"}, delete_file={"path": "reports/q3"}), "Profits rose."
)
clerk_model = scripted(
    calls(python_records_py_read_record={"id": "7"}),
    calls(python_records_py_read_record={"id": "8"}),
    "Record 7 is paid.",
)
