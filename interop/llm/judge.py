"""The official clients, set up by their environment alone. One line of JSON a check: its name, and whether it held."""

import json

import anthropic
import openai

MESSAGES = [{"role": "user", "content": "one two #words=2"}]
TOOL = [{"role": "user", "content": "#tool=search"}]


def say(name, expected, holds, said=""):
    print(json.dumps({"name": name, "expected": expected, "held": bool(holds), "said": str(said)[:200]}), flush=True)


def accept(name, check):
    try:
        said = check()
        say(name, "accept", said == "one two" or said is True, said)
    except Exception as error:  # noqa: BLE001: whatever a client raises is what it said
        say(name, "accept", False, repr(error))


def refuse(name, kind, call):
    try:
        say(name, "refuse", False, call())
    except kind as error:
        say(name, "refuse", True, repr(error))
    except Exception as error:  # noqa: BLE001
        say(name, "refuse", False, repr(error))


def openai_checks():
    client = openai.OpenAI(max_retries=0)
    chat = client.chat.completions
    ask = {"model": "gpt-test", "messages": MESSAGES}
    accept("openai chat", lambda: chat.create(**ask).choices[0].message.content)
    accept(
        "openai chat stream",
        lambda: "".join(c.choices[0].delta.content or "" for c in chat.create(**ask, stream=True)),
    )
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]
    called = lambda: chat.create(model="gpt-test", messages=TOOL, tools=tools).choices[0].message.tool_calls
    accept("openai tools", lambda: called()[0].function.name == "search")
    accept("openai responses", lambda: client.responses.create(model="gpt-test", input="one two #words=2").output_text)
    last = lambda: [e.type for e in client.responses.create(model="gpt-test", input="x", stream=True)][-1]
    accept("openai responses stream", lambda: last() == "response.completed")
    accept("openai embeddings", lambda: len(client.embeddings.create(model="embed-test", input=["a", "b"]).data) == 2)
    accept("openai models", lambda: [m.id for m in client.models.list()] == ["gpt-test", "embed-test"])
    other = lambda: chat.create(model="gpt-test-mini", messages=MESSAGES)
    refuse("openai other model", openai.PermissionDeniedError, other)
    limited = lambda: chat.create(model="gpt-test", messages=[{"role": "user", "content": "#status=429"}])
    refuse("openai rate limit", openai.RateLimitError, limited)
    hosted = lambda: client.responses.create(model="gpt-test", input="x", tools=[{"type": "web_search"}])
    refuse("openai hosted tool", openai.PermissionDeniedError, hosted)


def anthropic_checks():
    client = anthropic.Anthropic(max_retries=0)
    ask = {"model": "claude-test", "max_tokens": 50, "messages": MESSAGES}
    accept("anthropic messages", lambda: client.messages.create(**ask).content[0].text)

    def stream():
        with client.messages.stream(**ask) as events:
            return "".join(events.text_stream)

    accept("anthropic stream", stream)
    tools = [{"name": "search", "input_schema": {"type": "object", "properties": {}}}]
    called = lambda: client.messages.create(**{**ask, "messages": TOOL}, tools=tools).content[0]
    accept("anthropic tools", lambda: called().name == "search" and called().input == {"query": "x"})
    counted = lambda: client.messages.count_tokens(model="claude-test", messages=MESSAGES).input_tokens
    accept("anthropic count tokens", lambda: counted() == 4)
    overloaded = lambda: client.messages.create(**{**ask, "messages": [{"role": "user", "content": "#status=529"}]})
    refuse("anthropic overloaded", anthropic.InternalServerError, overloaded)
    missing = lambda: client.messages.create(**{**ask, "model": "claude-none"})
    refuse("anthropic unknown model", anthropic.NotFoundError, missing)


openai_checks()
anthropic_checks()
