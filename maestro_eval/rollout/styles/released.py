"""The ``released`` style: one stream of tokens, as the paper's checkpoint was trained on it.

The chat template makes the first prompt, which ends inside the model's thought. From then on ids are appended and the
model continues right after them: the kept part of a turn with the end token that it stopped at, then
``<|im_start|>user<information>OBSERVATION</information><|im_end|>``, with no newline, no new header and no new thought.
``released_stream.jinja`` renders the same from messages.

The kept part depends on the turn, and is cut in *tokens*. Turn 0 keeps its first call to its last, with some tokens
before. Later turns keep one block, but as that many tokens from the end of the generation: text after the block shifts
that window, so that the block's beginning is lost. If the part to keep is longer than the generation, all of the
generation is kept. Calls are then read from what was kept, and answers from what was to be kept. All of this is how the
released loop behaves, by conformance recordings (``docs/conformance.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from maestro_eval.records import (
    Action,
    AnswerAction,
    Answered,
    Completion,
    Exhausted,
    MalformedAction,
    Message,
    Outcome,
    Regime,
    Resolution,
    SearchAction,
    TextPart,
)
from maestro_eval.registry import Registry
from maestro_eval.rollout.styles.base import Reading
from maestro_eval.text import Tokenizer, neutralise

END, START_USER = "<|im_end|>", "<|im_start|>user"
_INFORMATION, _INFORMATION_END = "<information>", "</information>"
_THINK_END = "</think>"
_LONGEST_REPLY = 100_000
"""The characters of a skill's reply that are read, from its beginning."""

_NO_CALL = MalformedAction("no call in what was kept")
_NO_SEPARATOR = MalformedAction("Format Error: Missing @@ separator", "format")
_NO_FORMAT = MalformedAction("Format Error: Invalid skill call format", "format")
_NOTHING = MalformedAction("neither a call nor an answer")

# In the stream these would mean an image that does not exist, at which every engine stops.
_PICTURE = re.compile(r"<(?=\|(?:vision_start|vision_end|vision_pad|image_pad|video_pad)\|>)")
STREAM_TEMPLATE = Path(__file__).with_name("released_stream.jinja")
"""The ``--chat-template`` of a server of a checkpoint in this style."""


class _Kept(Struct, frozen=True):
    """The kept part of a turn: its ids, and the text that it was cut to, which is searched for an answer."""

    text: str
    tokens: list[int]


class ReleasedStyle:
    """The released style under one regime, counting in one tokenizer's tokens."""

    stop: tuple[str, ...] = ()

    def __init__(self, regime: Regime, tokenizer: Tokenizer) -> None:
        self._regime = regime
        self._tokenizer = tokenizer
        self.chat_template = released_stream()

    def read(self, completion: Completion, number: int, calls_made: int) -> Reading:
        text = completion.text
        if completion.reasoning:
            # The prompt opened the thought; a server that parses thoughts splits the generation in two.
            text = f"{completion.reasoning}{_THINK_END}{text}"
        kept = self._kept(text, self._sampled(text, completion), number)
        if kept is None:
            return Reading(completion.text, _NOTHING, dropped=True)
        seen = self._tokenizer.decode(kept.tokens)
        tokens = tuple(kept.tokens)
        if "</answer>" in kept.text:
            answer = _answer(kept.text)
            said, outcome = AnswerAction(answer), Answered(answer)
            return Reading(completion.text, said, seen, tokens, outcome=outcome, stop_reason=ANSWERED)
        last = number == self._regime.max_turns - 1
        calls = "<search>" in seen and "<answer>" not in seen
        action = _call(seen) if calls else _NOTHING
        if calls and not last:
            return Reading(completion.text, action, seen, tokens)
        unanswered, reason = _unanswered(completion, last), _stop_reason(completion, kept.text)
        return Reading(completion.text, action, seen, tokens, outcome=unanswered, stop_reason=reason)

    def refuse(self, action: MalformedAction) -> str:
        return "" if action == _NO_CALL else action.reason

    def unknown(self, found: Resolution, registry: Registry) -> str:
        return "Model Name Error" if found.expert is None else "Skill Name Error"

    def observe(self, reply: str) -> str:
        reply = reply[:_LONGEST_REPLY]
        return neutralise(reply) if self._regime.neutralise else reply

    def extend(self, reading: Reading, observation: str | None) -> Sequence[Message]:
        tokens = reading.tokens or ()
        if observation is None:
            said = reading.kept.removesuffix(END)
            return (Message("assistant", (TextPart(said, "policy"),), tokens),)
        if self._regime.retokenize:
            tokens = tuple(self._tokenizer.encode(_without_pictures(reading.kept)))
        kept = _without_pictures(self._tokenizer.decode(tokens))
        ids = self._observation_ids(_without_pictures(observation))
        shown = self._tokenizer.decode(ids).removeprefix(START_USER).removesuffix(END)
        inner = shown.removeprefix(_INFORMATION).removesuffix(_INFORMATION_END)
        parts = (TextPart(_INFORMATION), TextPart(inner, "observation"), TextPart(_INFORMATION_END))
        if kept.endswith(END):
            turn = Message("assistant", (TextPart(kept.removesuffix(END), "policy"),), tokens)
            return turn, Message("user", parts, tuple(ids))
        # A generation that was cut has no end token, and the template ends every message with one: so join them.
        joined = (TextPart(kept, "policy"), TextPart(START_USER), *parts)
        return (Message("assistant", joined, (*tokens, *ids)),)

    def scored_text(self, messages: Sequence[Message]) -> str | None:
        stream = [token for message in messages for token in message.tokens or ()]
        return self._tokenizer.decode(stream[: self._regime.scored_tokens], skip_special=True)

    def redirect(self, completion: Completion, number: int, target: str, question: str) -> str:
        kept = self._kept(completion.text, self._sampled(completion.text, completion), number)
        before, _, _ = (kept.text if kept else "").partition("<search>")
        action = _call(kept.text) if kept else _NOTHING
        request = action.request if isinstance(action, SearchAction) else neutralise(question)
        call = f"<search>{target}: {request}</search>"
        # Later turns are read after their thought and keep nothing before the call.
        return f"{before}{call}" if number == 0 and isinstance(action, SearchAction) else f"{_THINK_END}{call}"

    def _sampled(self, text: str, completion: Completion) -> list[int]:
        """Return the ids of a generation: the sampled ones, or those of its text with the token that ended it."""
        if completion.tokens is not None:
            decoded = self._tokenizer.decode(completion.tokens, skip_special=True)
            # An engine with another tokenizer than ours returns other ids.
            if decoded.rstrip("\ufffd") == text.rstrip("\ufffd"):
                return list(completion.tokens)
        end = self._tokenizer.encode(END) if completion.finish_reason == "stop" else []
        return self._tokenizer.encode(text) + end

    def _kept(self, text: str, ids: list[int], number: int) -> _Kept | None:
        """Return the kept part of turn ``number``; ``None`` for a turn that is dropped."""
        if number == 0:
            return self._kept_of_first(text, ids)
        behind = text.partition(_THINK_END)[2] if _THINK_END in text else text
        if behind == _THINK_END:
            # The released loop fails on this text; an empty turn is the closest that it has.
            return _Kept("", [])
        # By order of preference in each turn; the first kind with both tags counts.
        for kind in ("search", "answer") if number == 1 else ("answer", "search"):
            if f"<{kind}>" in behind and f"</{kind}>" in behind:
                block = _last_block(behind, kind)
                if block is not None:
                    return self._window(block, text, ids)
                if number == 1 and kind == "answer":
                    return None
                return _Kept(behind, ids)
        return None if number == 1 else _Kept(behind, ids)

    def _kept_of_first(self, text: str, ids: list[int]) -> _Kept | None:
        begin, end = text.find("<search>"), text.rfind("</search>")
        if begin < 0 or end < 0:
            return None
        before = text[:begin]
        tail = self._tokenizer.encode(before)
        most = self._regime.first_turn_tail
        if most is not None and len(tail) > most:
            before = self._tokenizer.decode(tail[len(tail) - most :])
        shortened = before + text[begin : end + len("</search>")] + END
        tokens = self._tokenizer.encode(shortened)
        if len(tokens) > len(ids):
            return _Kept(text, ids)
        # The generation's own last token: the end token, unless the generation was cut.
        return _Kept(shortened, tokens[:-1] + ids[-1:])

    def _window(self, block: str, text: str, ids: list[int]) -> _Kept:
        """Keep as many tokens from the end of the generation as the block and an end token have."""
        whole = block + END
        length = len(self._tokenizer.encode(whole))
        return _Kept(whole, ids[-length:]) if length <= len(ids) else _Kept(text, ids)

    def _observation_ids(self, observation: str) -> list[int]:
        """Return the ids of an observation in its wrapping, within the budget."""
        opening = f"{START_USER}{_INFORMATION}"
        tokens = self._tokenizer.encode(f"{opening}{observation}{_INFORMATION_END}{END}")
        most = self._regime.observation_tokens
        if len(tokens) <= most:
            return tokens
        return self._tokenizer.encode(opening + self._tokenizer.decode(tokens[len(tokens) - most :]))


ANSWERED = "final_answer_generated"
_FINISHED, _EMPTY, _CUT = (
    "model_chose_to_finish",
    "model_chose_to_finish_with_empty_response",
    "max_response_length_reached",
)


NO_TOKENIZER = (
    "regime {regime} counts in the policy's own tokens, and its tokenizer is not known: give it with "
    "--regime-set tokenizer=PATH (a tokenizer.json, qwen.tiktoken, or the checkpoint's folder)"
)


def _last_block(text: str, kind: str) -> str | None:
    """Return the last complete block of ``kind``; blocks are matched from the beginning and do not nest."""
    opening, closing = f"<{kind}>", f"</{kind}>"
    found, at = None, 0
    while (begin := text.find(opening, at)) >= 0 and (end := text.find(closing, begin)) >= 0:
        at = end + len(closing)
        found = text[begin:at]
    return found


def _call(seen: str) -> Action:
    """Return the call in the kept text of a turn: the first, up to the first closing tag."""
    _, opened, call = seen.partition("</search>")[0].partition("<search>")
    if not opened:
        return _NO_CALL
    named, colon, request = call.partition(":")
    if "@@" not in call or not colon:
        return _NO_FORMAT
    expert, separator, skill = named.strip().partition("@@")
    return SearchAction(expert.strip(), skill.strip(), request.strip()) if separator else _NO_SEPARATOR


def _answer(text: str) -> str:
    """Return the first answer's text, or all before the closing tag if no tag opens it."""
    begin = text.find("<answer>")
    end = text.find("</answer>", begin) if begin >= 0 else -1
    answer = text[begin + len("<answer>") : end] if end >= 0 else text.partition("</answer>")[0]
    return answer.strip()


def _unanswered(completion: Completion, last: bool) -> Outcome:
    if completion.finish_reason == "length":
        return Exhausted("tokens")
    return Exhausted("turns" if last else "unanswered")


def _stop_reason(completion: Completion, text: str) -> str:
    if completion.finish_reason == "length":
        return _CUT
    if completion.finish_reason != "stop":
        return f"finish_reason_{completion.finish_reason}"
    return _FINISHED if text.strip() else _EMPTY


def _without_pictures(text: str) -> str:
    return _PICTURE.sub("‹", text)


@lru_cache(maxsize=1)
def released_stream() -> str:
    """Return the template's text."""
    return STREAM_TEMPLATE.read_text("utf-8")


def render_stream(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text that a server with the template feeds its model for chat-completions messages."""
    return _template().render(messages=messages)


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    # The environment that transformers, and so vLLM, renders chat templates in.
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(released_stream())
