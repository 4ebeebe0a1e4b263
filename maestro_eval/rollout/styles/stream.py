"""The chat template of the ``released`` style, as a file for servers and as a function for us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

STREAM_TEMPLATE = Path(__file__).with_name("released_stream.jinja")
"""What a server of a checkpoint in this style is started with: ``--chat-template``."""


@lru_cache(maxsize=1)
def released_stream() -> str:
    """The template's text."""
    return STREAM_TEMPLATE.read_text("utf-8")


def render_stream(messages: Sequence[Mapping[str, Any]]) -> str:
    """What a server with the template feeds its model for chat-completions messages."""
    return _template().render(messages=messages)


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    # As transformers renders chat templates, and vLLM with it.
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(released_stream())
