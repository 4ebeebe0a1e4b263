"""Prepares a rollout for its page: turns with reasoning split off, their calls, cut text, and a time line.

Texts may have any length: a page shows an excerpt of each, and ``text_of`` returns the whole by its name.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from msgspec import Struct

from maestro_eval.records import (
    AnswerAction,
    ExpertCall,
    Regime,
    Rollout,
    RunManifest,
    Sample,
    SearchAction,
    Turn,
    UserError,
)
from maestro_eval.rollout import style_of
from maestro_eval.text import HUB, spoken
from maestro_eval.view.html import EXCERPT

TURNS_PER_PAGE = 25
_MOST_CALLS = 40
_MOST_BARS = 80
_LONGEST_COMPARED = 1 << 20
_NAME = re.compile(
    r"question|prompt|turns\.(\d{1,6})\.(?:(text|reasoning|observation)|calls\.(\d{1,6})\.(request|reply|reasoning))"
)


class Part(Struct, frozen=True):
    """The beginning of a text, the length of the whole, and the name by which ``text_of`` returns it."""

    text: str
    length: int
    name: str

    @property
    def left(self) -> int:
        return self.length - len(self.text)


class CallView(Struct, frozen=True):
    number: int
    call: ExpertCall
    request: Part
    reply: Part
    reasoning: Part | None
    curl: str


class TurnView(Struct, frozen=True):
    """A turn. ``thought`` is the reasoning before ``said``; ``left_out`` counts characters hidden from the policy."""

    number: int
    turn: Turn
    kind: str
    target: str
    written: str
    thought: Part | None
    said: Part
    request: str
    calls: tuple[CallView, ...]
    more_calls: int
    observation: Part | None
    left_out: int
    replay: str

    @property
    def called(self) -> tuple[str, str, str]:
        """The values that are equal in two turns if both made the same call."""
        return self.kind, self.target, self.request


class Bar(Struct, frozen=True):
    """An interval of the time line; ``begin`` and ``end`` are thousandths of the rollout's duration."""

    label: str
    kind: str
    begin: float
    end: float
    seconds: float
    turn: int


class Sent(Struct, frozen=True):
    """A message as the style sends it; ``turn`` is the turn that the policy generates after it."""

    role: str
    part: Part
    turn: int | None = None


def turns_of(rollout: Rollout, manifest: RunManifest, folder: Path, numbers: range) -> list[TurnView]:
    """Return the existing turns among ``numbers``."""
    return [_turn(rollout, manifest, folder, number) for number in numbers if number < len(rollout.turns)]


def excerpt(text: str, name: str, longest: int = EXCERPT) -> Part:
    return Part(text if len(text) <= longest else text[:longest], len(text), name)


def text_of(rollout: Rollout, sample: Sample | None, name: str) -> str | None:
    """Return the whole text of the `Part` with that name; ``None`` if there is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    if name == "question":
        return sample.question if sample else None
    if name == "prompt":
        return rollout.user_prompt
    turn = rollout.turns[int(found[1])] if int(found[1]) < len(rollout.turns) else None
    if turn is None:
        return None
    if found[2]:
        return str(getattr(turn, found[2]) or "")
    calls = turn.calls
    return str(getattr(calls[int(found[3])], found[4])) if int(found[3]) < len(calls) else None


def time_line(rollout: Rollout) -> list[Bar]:
    """Return bars for the first turns and calls, in order."""
    begin, whole = rollout.timing.started_at, max(rollout.timing.elapsed_s, 1e-6)

    def bar(label: str, kind: str, at: float, took: float, turn: int) -> Bar:
        first = min(1000.0, max(0.0, 1000 * (at - begin) / whole))
        return Bar(label, kind, first, min(1000.0, first + max(2.0, 1000 * took / whole)), took, turn)

    bars: list[Bar] = []
    for number, turn in enumerate(rollout.turns):
        bars.append(bar(f"turn {number}", "turn", turn.timing.started_at, turn.timing.elapsed_s, number))
        for call in turn.calls:
            kind = "cached" if call.cached else "failed" if call.error else call.kind
            bars.append(bar(call.name, kind, call.timing.started_at, call.timing.elapsed_s, number))
    return bars[:_MOST_BARS]


def conversation(rollout: Rollout, manifest: RunManifest) -> list[Sent]:
    """Return the first turns' messages as the run's style sends them. UserError if its tokenizer is not available."""
    style = style_of(manifest.regime)
    sent = [
        Sent("system", excerpt(manifest.prompt.text, "")),
        Sent("user", excerpt(rollout.user_prompt, "prompt"), 0),
    ]
    made = 0
    for number, turn in enumerate(rollout.turns[:TURNS_PER_PAGE]):
        reading = style.read(turn.completion, number, made)
        made += turn.reached
        if reading.dropped:
            continue
        for message in style.extend(reading, turn.observation):
            is_followed = message.role == "user" and number + 1 < len(rollout.turns)
            sent.append(Sent(message.role, excerpt(message.text, ""), number + 1 if is_followed else None))
    return sent


def conversation_or_why(rollout: Rollout, manifest: RunManifest) -> tuple[list[Sent], str]:
    if manifest.regime.tokenizer.startswith(HUB):
        return [], f"made with the tokenizer {manifest.regime.tokenizer}; the viewer loads nothing from elsewhere"
    try:
        return conversation(rollout, manifest), ""
    except UserError as error:
        return [], str(error)


def _turn(rollout: Rollout, manifest: RunManifest, folder: Path, number: int) -> TurnView:
    turn = rollout.turns[number]
    name = f"turns.{number}"
    thought, said = _split(turn.text)
    if turn.reasoning:
        thought = turn.reasoning
    kind, target, written, request = _action(turn)
    calls = tuple(
        CallView(
            place,
            call,
            excerpt(call.request, f"{name}.calls.{place}.request"),
            excerpt(call.reply, f"{name}.calls.{place}.reply"),
            excerpt(call.reasoning, f"{name}.calls.{place}.reasoning") if call.reasoning else None,
            curl_of(call),
        )
        for place, call in enumerate(turn.calls[:_MOST_CALLS])
    )
    observation = None if turn.observation is None else excerpt(turn.observation, f"{name}.observation")
    return TurnView(
        number=number,
        turn=turn,
        kind=kind,
        target=target,
        written=written,
        thought=excerpt(thought, f"{name}.reasoning" if turn.reasoning else f"{name}.text") if thought else None,
        said=excerpt(said, f"{name}.text"),
        request=request[:EXCERPT],
        calls=calls,
        more_calls=len(turn.calls) - len(calls),
        observation=observation,
        left_out=_left_out(turn),
        replay=_replay(rollout, turn, number, manifest, folder),
    )


def _split(text: str) -> tuple[str, str]:
    """Split a turn into its reasoning, tags included, and the text after it."""
    said = spoken(text[:_LONGEST_COMPARED]).text
    at = text.rfind(said) if said else -1
    return ("", text) if at <= 0 else (text[:at], text[at:])


def _action(turn: Turn) -> tuple[str, str, str, str]:
    """Return kind, resolved target, target as written if that differs, and the request, answer or reason."""
    match turn.action:
        case SearchAction(expert, skill, request):
            found = turn.resolution
            written = f"{expert} → {skill}"
            if found is None or found.expert is None or found.skill is None:
                return "call", written, "unknown name" if found is not None else "", request
            solver = turn.solver or found.solver
            target = f"{found.expert} → {found.skill}" + (f" / {solver}" if solver else "")
            return "call", target, "" if found.rule == "exact" else f"{written} ({found.rule})", request
        case AnswerAction(text):
            return "answer", "", "", text
        case _:
            return "malformed", "", "", turn.action.reason


def _left_out(turn: Turn) -> int:
    """Count the characters of the last expert's reply that the observation omits; 0 if that is unclear."""
    reply = next((call.reply for call in reversed(turn.calls) if call.kind == "expert" and not call.error), "")
    shown = turn.observation or ""
    if not reply or not shown or len(reply) <= len(shown) or len(reply) > _LONGEST_COMPARED:
        return 0
    before = next((at for at, (a, b) in enumerate(zip(reply, shown, strict=False)) if a != b), len(shown))
    after = next(
        (at for at, (a, b) in enumerate(zip(reversed(reply), reversed(shown), strict=False)) if a != b), len(shown)
    )
    kept = min(len(reply), before + after)
    return len(reply) - kept if 2 * kept > len(shown) else 0


def curl_of(call: ExpertCall) -> str:
    """Return a curl command that repeats a call; its pictures must first be saved under the names it reads."""
    parts: list[dict[str, object]] = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,@{sha[:12]}@"}} for sha in call.images
    ]
    parts.append({"type": "text", "text": call.request[:_LONGEST_COMPARED]})
    content: object = parts if call.images else call.request[:_LONGEST_COMPARED]
    body = json.dumps({"model": call.model, "messages": [{"role": "user", "content": content}]}, ensure_ascii=False)
    quoted = shlex.quote(body)
    for sha in call.images:
        quoted = quoted.replace(f"@{sha[:12]}@", f"'\"$(base64 -w0 {sha[:12]}.png)\"'")
    address = shlex.quote(f"{call.endpoint.rstrip('/')}/chat/completions")
    if not call.images:
        return f"curl {address} -H 'Content-Type: application/json' -d {quoted}"
    return f"printf %s {quoted} |\n  curl {address} -H 'Content-Type: application/json' -d @-"


def _replay(rollout: Rollout, turn: Turn, number: int, manifest: RunManifest, folder: Path) -> str:
    """Return the command that replays this turn with another expert; empty if it cannot be replayed."""
    if not turn.reached or number >= manifest.regime.max_turns - 1 or manifest.candidates:
        return ""
    found = turn.resolution
    assert found is not None
    other = next((name for name in manifest.registry.experts if name != found.expert), found.expert)
    words = ["maestro-eval", "replay", str(folder), "--at", str(number), "--call", f"{other}@@{found.skill}"]
    return shlex.join([*words, "--sample", f"{rollout.key.task} {rollout.key.sample_id}"])


def limits_of(regime: Regime) -> str:
    """Describe the regime's limits on what a policy reads."""
    tail = f", the last {regime.reply_tail_chars} characters of a reply" if regime.reply_tail_chars else ""
    return f"at most {regime.observation_tokens} tokens of an observation{tail}"
