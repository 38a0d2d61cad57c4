"""A model that says what it was told to, so that this runs without a vendor. Yours goes here."""

from typing import Any

from llama_index.core.llms import ChatMessage, ChatResponse, LLMMetadata, MockLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection


class Scripted(MockLLM, FunctionCallingLLM):
    _turns: list[Any]

    def __init__(self, *turns: Any) -> None:
        super().__init__()
        self._turns = list(turns)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True, model_name="scripted")

    async def achat(self, *_: Any, **__: Any) -> ChatResponse:
        turn = self._turns.pop(0)
        text, calls = (turn, {}) if isinstance(turn, str) else ("", turn)
        message = ChatMessage(role="assistant", content=text, additional_kwargs={"calls": calls})
        return ChatResponse(message=message)

    def get_tool_calls_from_response(self, response: ChatResponse, *_: Any, **__: Any) -> list[ToolSelection]:
        calls = response.message.additional_kwargs["calls"]
        return [ToolSelection(tool_id=name, tool_name=name, tool_kwargs=args) for name, args in calls.items()]

    def _prepare_chat_with_tools(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"messages": []}


desk_model = Scripted({"ask_researcher": {"question": "How was the third quarter?"}}, "It was good.")
researcher_model = Scripted(
    {"read_file": {"path": "reports/q3"}, "delete_file": {"path": "reports/q3"}}, "Profits rose."
)
clerk_model = Scripted({"read_record": {"id": "7"}}, {"read_record": {"id": "8"}}, "Record 7 is paid.")
