"""The ``chat`` style: a chat of turns, with calls and answers in tags and observations in user messages.

The regime's fields define how a turn is parsed and how much the policy sees of it. The checkpoint's own chat template
renders the messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from maestro_eval.records import (
    Action,
    AnswerAction,
    Answered,
    Completion,
    MalformedAction,
    Message,
    Regime,
    Resolution,
    SearchAction,
    TextPart,
)
from maestro_eval.registry import Registry
from maestro_eval.rollout.grammar import STOP_TAGS, Parsed, close_stopped, parse_turn, redirected
from maestro_eval.rollout.styles.base import Reading
from maestro_eval.text import clip, neutralise, ruler


class ChatStyle:
    """The chat style under one regime."""

    chat_template: str | None = None

    def __init__(self, regime: Regime) -> None:
        self._regime = regime
        self.stop = STOP_TAGS if regime.stop_at_tags else ()

    def read(self, completion: Completion, number: int, calls_made: int) -> Reading:
        text = self._whole(completion)
        parsed = parse_turn(text, self._regime, number)
        action = self._allowed(parsed.action, number, calls_made)
        refused = action is not parsed.action
        return Reading(
            text=text,
            action=action,
            kept=self._shown(parsed, number, completion.reasoning),
            dropped=self._regime.unusable == "drop" and (refused or not parsed.complete),
            outcome=Answered(action.text) if isinstance(action, AnswerAction) else None,
        )

    def refuse(self, action: MalformedAction) -> str:
        return f"Not understood: {action.reason}."

    def unknown(self, found: Resolution, registry: Registry) -> str:
        unknown = [
            f"unknown {what}" + (f"; known: {', '.join(names)}" if self._regime.list_known_names else "")
            for what, entry, names in (
                ("expert", found.expert, registry.experts),
                ("skill", found.skill, registry.skills),
            )
            if entry is None
        ]
        return f"Not called: {' and '.join(unknown)}."

    def observe(self, reply: str) -> str:
        rules = self._regime
        measure = ruler(rules.tokenizer)
        text = clip(reply, rules.observation_tokens, rules.observation_keep, measure=measure, mark=rules.mark_cuts)
        return neutralise(text) if rules.neutralise else text

    def extend(self, reading: Reading, observation: str | None) -> Sequence[Message]:
        back = (TextPart("<information>\n"), TextPart(observation or "", "observation"), TextPart("\n</information>"))
        return Message("assistant", (TextPart(reading.kept, "policy"),)), Message("user", back)

    def scored_text(self, messages: Sequence[Message]) -> str | None:
        return None

    def redirect(self, completion: Completion, number: int, target: str, question: str) -> str:
        # A question may contain tags, which would act.
        return redirected(self._whole(completion), self._regime, number, target, neutralise(question))

    def _whole(self, completion: Completion) -> str:
        """Return the policy's text, with the closing tag if the endpoint stopped there and left it out."""
        stopped = self._regime.stop_at_tags and completion.finish_reason == "stop"
        return close_stopped(completion.text) if stopped else completion.text

    def _allowed(self, action: Action, number: int, calls_made: int) -> Action:
        """Return the action, or a ``MalformedAction`` if the regime forbids it here."""
        if isinstance(action, AnswerAction) and number == 0 and not self._regime.answer_at_first_turn:
            return MalformedAction("the first turn may not answer; ask first", "refused")
        if isinstance(action, SearchAction) and calls_made >= self._regime.max_searches:
            return MalformedAction(f"all {self._regime.max_searches} calls are used; answer now", "refused")
        return action

    def _shown(self, parsed: Parsed, number: int, reasoning: str) -> str:
        """Return the part of its own turn that the policy sees in later prompts."""
        before = parsed.before
        if reasoning and self._regime.show_thinking:
            # The conversation is the same whether or not the server parses thoughts.
            before = f"<think>{reasoning}</think>{before}"
        if number == 0 and self._regime.first_turn_tail is not None:
            measure = ruler(self._regime.tokenizer)
            before = clip(before, self._regime.first_turn_tail, "tail", measure=measure, mark=False)
        return before + parsed.said
