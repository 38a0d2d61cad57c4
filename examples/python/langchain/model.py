"""A chat model that says what it was told to, so that this runs without a vendor. Yours goes here."""

from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage


class Scripted(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def calls(**tools: dict[str, str]) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": name} for name, args in tools.items()])


desk_model = Scripted(
    messages=iter([calls(ask_researcher={"question": "How was the third quarter?"}), AIMessage("It was good.")])
)
researcher_model = Scripted(
    messages=iter(
        [calls(read_file={"path": "reports/q3"}, delete_file={"path": "reports/q3"}), AIMessage("Profits rose.")]
    )
)
clerk_model = Scripted(
    messages=iter([calls(read_record={"id": "7"}), calls(read_record={"id": "8"}), AIMessage("Record 7 is paid.")])
)
