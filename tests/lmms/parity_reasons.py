"""Why our official verdict differs from that of lmms-eval's own scorer: the whole list, each with what tells it.

`docs/lmms.md` shows the same list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lmms.parity_cases import Case

from maestro_eval.scoring.extract import final_answer
from maestro_eval.scoring.numerals import number
from maestro_eval.scoring.yes_no import yes_no

_LETTERED = ("geometry3k", "hrbench4k", "vstar_bench", "erqa")


@dataclass(frozen=True)
class Difference:
    """Two verdicts that are not equal. ``theirs`` is ``None`` where lmms-eval would ask a judge model; ``on_final``
    is lmms-eval's verdict on the final answer that we extract."""

    case: Case
    ours: float
    theirs: float | None
    on_final: float | None

    @property
    def only_ours(self) -> bool:
        """Right to us alone."""
        return self.ours == 1.0

    @property
    def final(self) -> str:
        """What we take for the reply's answer."""
        return final_answer(self.case.ours)


@dataclass(frozen=True)
class Reason:
    """Why verdicts differ, in which benchmarks, and whether a difference is of this kind."""

    name: str
    benchmarks: tuple[str, ...]
    sentence: str
    explains: Callable[[Difference], bool]


def _is_plain_float(text: str) -> bool:
    try:
        return float(text.removesuffix("%")) != 0
    except ValueError:
        return False


def _reads_number(difference: Difference) -> bool:
    read = number(difference.final)
    return difference.only_ours and read is not None and not _is_plain_float(difference.final)


def _explained_yes(difference: Difference) -> bool:
    target = difference.case.sample.targets[0].lower()
    return difference.only_ours and target in ("yes", "no") and yes_no(difference.final) == target


def _of_task(name: str) -> Callable[[Difference], bool]:
    return lambda difference: difference.case.sample.fields["task"].startswith(name)


def _unmarked(difference: Difference) -> bool:
    return not difference.only_ours and difference.case.saying != "hostile" and " or " not in difference.case.said


REASONS = (
    Reason(
        "judge",
        ("hrbench4k",),
        "If lmms-eval finds no letter and no option text, it calls a judge model; we call none.",
        lambda difference: difference.theirs is None,
    ),
    Reason(
        "asked-form",
        ("microvqa",),
        'lmms-eval accepts only "answer is (N)", the form that its prompt requests; our prompt requests a letter.',
        lambda difference: difference.only_ours and not re.search(r"answer is \W{0,3}[0-9]", difference.case.theirs),
    ),
    Reason(
        "asked-number",
        ("microvqa",),
        "After \"answer is\" lmms-eval reads a digit as the option's number, even at the start of the option's text.",
        lambda difference: difference.case.said.isdecimal() and len(difference.case.said) > 1,
    ),
    Reason(
        "weighed",
        ("geometry3k", "vstar_bench", "erqa"),
        'If a reply leaves two letters open ("A or B"), lmms-eval takes one; we take none.',
        lambda difference: not difference.only_ours and " or " in difference.case.said,
    ),
    Reason(
        "letter-of-a-word",
        ("geometry3k", "erqa", "vstar_bench"),
        'lmms-eval finds option letters inside words and names ("N/A", "Answer:"); we do not.',
        lambda difference: not difference.only_ours and difference.case.saying == "hostile",
    ),
    Reason(
        "first-letter",
        ("vstar_bench",),
        'lmms-eval takes the reply\'s first character as the option if it is A to D: "Answer: B" chooses A.',
        lambda difference: difference.case.theirs.strip()[:1].upper() in tuple("ABCD"),
    ),
    Reason(
        "option-text",
        ("geometry3k", "erqa", "vstar_bench"),
        "The text of an option chooses it; lmms-eval does not compare texts there, or reads an article in them as A.",
        lambda difference: difference.only_ours and difference.case.said in difference.case.sample.choices,
    ),
    Reason(
        "full-width",
        ("geometry3k", "erqa", "vstar_bench"),
        "We read full-width letters, digits and punctuation as the usual ones.",
        lambda difference: difference.only_ours and difference.case.ours == "\uff21",
    ),
    Reason(
        "small-letter",
        ("erqa",),
        "We accept a lower-case letter for an option; lmms-eval requires upper case.",
        lambda difference: difference.only_ours and difference.case.said.islower() and len(difference.case.said) == 1,
    ),
    Reason(
        "unmarked-letter",
        _LETTERED,
        "We ignore a letter or text that is not stated or marked as the choice: "
        '"a" may be an article. lmms-eval takes the most likely one.',
        _unmarked,
    ),
    Reason(
        "final-answer",
        ("chartqa", "slake_en", "mathvision_test", "vlmsareblind", "vstar_bench"),
        "We judge the answer that the reply states, without its reasoning; lmms-eval judges the whole reply, "
        "and agrees with us on that answer alone.",
        lambda difference: difference.on_final == difference.ours,
    ),
    Reason(
        "number-forms",
        ("chartqa",),
        "We read thousands separators and currency signs as part of a number, and all spellings of zero as equal.",
        _reads_number,
    ),
    Reason(
        "percent-signs",
        ("chartqa",),
        'lmms-eval drops any number of percent signs ("14%%"); we read one.',
        lambda difference: not difference.only_ours and "%%" in difference.case.ours,
    ),
    Reason(
        "explained-yes",
        ("slake_en", "vlmsareblind"),
        "We accept an explained or marked yes or no; lmms-eval requires the word alone.",
        _explained_yes,
    ),
    Reason(
        "word-anywhere",
        ("vlmsareblind",),
        'The authors\' code finds yes or no anywhere in a reply, "not Yes" too; lmms-eval requires the word alone.',
        lambda difference: (
            difference.only_ours
            and difference.case.sample.targets[0].lower() in ("yes", "no")
            and difference.case.sample.targets[0].lower() in difference.case.ours.lower()
        ),
    ),
    Reason(
        "plain-grid",
        ("vlmsareblind",),
        'We accept rows and columns written "4,5"; lmms-eval requires brackets around them.',
        _of_task("Counting Grid"),
    ),
    Reason(
        "circled-first-letter",
        ("vlmsareblind",),
        'lmms-eval takes the first letter of the reply as the circled one, that of "nan" too; we require it by itself.',
        _of_task("Circled Letter"),
    ),
)
