"""Arguments that are models of pydantic, with what they keep to themselves."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, Field, HttpUrl, RootModel, SecretStr

from trustwarden.adapters._mapping import to_params


class Login(BaseModel):
    user: str
    password: SecretStr
    pin: int = Field(default=0, exclude=True)


class Form(BaseModel):
    logins: list[Login]
    links: list[HttpUrl]
    by_name: dict[str, SecretStr]


class Words(RootModel[list[SecretStr]]):
    pass


def form_of(password: str, pin: int = 1) -> Any:
    login = Login(user="eve", password=SecretStr(password), pin=pin)
    return Form(logins=[login], links=[HttpUrl("https://a.test/b")], by_name={"a": SecretStr(password)})


def test_a_secret_and_an_excluded_field_leave_as_a_digest_that_tells_their_values_apart() -> None:
    told = to_params({"form": form_of("hunter2"), "word": SecretStr("hunter2"), "words": Words([SecretStr("hunter2")])})
    text = json.dumps(told)
    assert "hunter2" not in text
    assert "**" not in text
    assert '"user": "eve"' in text
    assert "https://a.test/b" in text


def test_the_same_secret_is_the_same_call_and_another_one_is_another() -> None:
    assert to_params({"form": form_of("a")}) == to_params({"form": form_of("a")})
    assert to_params({"form": form_of("a")}) != to_params({"form": form_of("b")})
    assert to_params({"form": form_of("a", pin=1)}) != to_params({"form": form_of("a", pin=2)})
