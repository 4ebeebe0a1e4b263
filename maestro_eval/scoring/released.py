r"""Judge by the rules of the scorer that was released with the paper; tasks name their rule.

A rule judges a text: the policy's turns and the observations, as a rollout in the ``released`` style records them. A
benchmark for which the release has no rule gets `FALL_BACK`, which reads the last ``\boxed{}``.

The release compares with the first target only. If a target is the letter of an option, the release's data has either
the letter or the option's text. Which one is known for the benchmarks of `letter_or_text` (both); Geometry3K and V* are
judged on the text, and `judge_released` accepts the other form by name.

The rules are lenient where they match substrings, and harsh where they require one spelling: read them beside
``official`` and ``fair``, never alone. `docs/conformance.md` says how they are compared with the released code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from maestro_eval.records import Sample, UserError
from maestro_eval.scoring import released_text
from maestro_eval.scoring.metric import Judge, Verdict, shown
from maestro_eval.scoring.options import LETTERS, lone_letter
from maestro_eval.scoring.python_tests import released_python
from maestro_eval.scoring.released_text import Truth
from maestro_eval.scoring.symbolic import equivalent

Form = Literal["letter", "text"]
"""The form in which a target that is an option's letter is compared: the letter, or the option's text."""

FALL_BACK = "boxed"
_BRACES, _ESCAPED = re.compile(r"\\boxed\{|[{}]"), re.compile(r"\\[{}]")


class ReleasedRule(Judge, frozen=True, kw_only=True):
    """``compare`` is the rule; ``form`` is the default form of the target that it compares with."""

    compare: Callable[[Truth, str], Verdict]
    form: Form = "letter"
    live: bool = True

    def judge(self, sample: Sample, text: str, form: Form | None = None) -> Verdict:
        """Judge a text against the first target of a sample."""
        if not sample.targets:
            return Verdict(None, note="the sample has no target")
        target, letter = sample.targets[0], lone_letter(sample.targets[0])
        index = LETTERS.index(letter.upper()) if letter else len(sample.choices)
        text_of_option = sample.choices[index] if index < len(sample.choices) else None
        if (form or self.form) == "text" and text_of_option is not None:
            target = text_of_option
        return shown(self.compare(Truth(target, text_of_option), text))


def released_rule(name: str) -> ReleasedRule:
    """Return the rule of that name, `FALL_BACK` for an empty one; raise UserError if it does not exist."""
    rule = RELEASED.get(name or FALL_BACK)
    if rule is None:
        raise UserError(f"no released rule {name!r}; there are {', '.join(RELEASED)}")
    return rule


def judge_released(sample: Sample, text: str, rule: str, form: Form | None = None) -> Verdict:
    """Judge a text by a rule of the released scorer (empty: `FALL_BACK`); raise UserError if it does not exist."""
    try:
        return released_rule(rule).judge(sample, text, form)
    except UserError as error:
        raise UserError(f"task {sample.task}: {error}") from error


def boxed(truth: Truth, text: str) -> Verdict:
    r"""Judge the content of the last closed ``\boxed{}``: right if it is the target, ignoring case, or has its value.

    The release compares values by math-verify, as we do, but raises if the target is a list, as all targets of its
    example data are: then every answer is wrong. We pass it the first target as text.
    """
    answer = _last_closed_box(text)
    if answer is None:
        return Verdict(0.0, note="no \\boxed{}")
    if answer.strip().lower() == truth.first.strip().lower():
        return Verdict(1.0, truth.first.strip())
    check = equivalent(answer, truth.first)
    if check.result == "unavailable":
        return Verdict(None, note=check.detail)
    return Verdict(float(check.result == "same"), truth.first.strip() if check.result == "same" else answer.strip())


RELEASED: dict[str, ReleasedRule] = {
    "chartqa": ReleasedRule(compare=released_text.chartqa),
    "letter_or_text": ReleasedRule(compare=released_text.letter_or_text),
    "slake": ReleasedRule(compare=released_text.slake),
    "vstar": ReleasedRule(compare=released_text.vstar, form="text"),
    "math": ReleasedRule(compare=released_text.math, form="text"),
    "python": ReleasedRule(
        compare=lambda truth, text: released_python(truth.first, text), runs_code=True, live=False, seconds=0.3
    ),
    FALL_BACK: ReleasedRule(compare=boxed, live=False),
}


def _last_closed_box(text: str) -> str | None:
    """Return the content of the last box that is not inside another one; escaped braces do not count."""
    opened: list[tuple[int, bool]] = []
    closed: list[tuple[int, int]] = []
    for brace in _BRACES.finditer(_ESCAPED.sub("  ", text)):
        if brace[0] != "}":
            opened.append((brace.end(), brace[0] != "{"))
        elif opened:
            begin, is_box = opened.pop()
            while is_box and closed and closed[-1][0] > begin:
                closed.pop()
            closed += [(begin, brace.start())] if is_box else []
    return text[slice(*closed[-1])] if closed else None
