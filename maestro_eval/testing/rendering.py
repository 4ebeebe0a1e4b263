"""Renders messages with a chat template and a tokenizer, as vLLM does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from maestro_eval.text import Tokenizer

_END = "<|im_end|>"


class Renderer:
    def __init__(self, chat_template: str, tokenizer: Tokenizer) -> None:
        # transformers, and therefore vLLM, renders chat templates with these options.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self._template = environment.from_string(chat_template)
        self._tokenizer = tokenizer

    def encode(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        """Return the token ids of the prompt."""
        return self._tokenizer.encode(self._template.render(messages=messages, add_generation_prompt=True))

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens)

    def sampled(self, text: str, finish_reason: str) -> list[int]:
        """Return the token ids of a reply, with the end token if it was not cut."""
        return self._tokenizer.encode(text + (_END if finish_reason == "stop" else ""))
