"""Keep the text of others from acting as ours.

What an expert says is put between our tags and into a chat. Were it allowed to hold ``</information>``,
``<answer>`` or a chat template's control token, an expert (or a picture that it transcribes) could end the
observation early, answer in the policy's place, or open a new turn.
"""

from __future__ import annotations

import re

# Spaces, case and a slash anywhere inside the brackets: chat models forgive them, so forgery may use them.
_TAG = re.compile(r"<(?=[\s/]*(?:search|information|answer|think|tool_call|tool_response)\b)", re.IGNORECASE)
# ChatML, Llama and DeepSeek write <|…|>; Gemma and Mistral words of their own.
_CONTROL = re.compile(r"<(?=\s*[|｜]|[\s/]*(?:(?:start|end)_of_turn|bos|eos|s)\s*>)", re.IGNORECASE)


def neutralise(text: str) -> str:
    """``text`` with our tags (``<answer>``, …) and control tokens (``<|im_end|>``, …) opened by ``‹`` instead of ``<``.

    Everything else stays as it is; doing it twice changes nothing more.
    """
    return _CONTROL.sub("‹", _TAG.sub("‹", text))
