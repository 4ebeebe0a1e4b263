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
        "Where lmms-eval finds no letter and no option text it asks a judge model; we ask none and read it or not.",
        lambda difference: difference.theirs is None,
    ),
    Reason(
        "asked-form",
        ("microvqa",),
        'lmms-eval reads nothing but "answer is (N)", the form that its prompt asks for; our prompt asks for a letter.',
        lambda difference: difference.only_ours and not re.search(r"answer is \W{0,3}[0-9]", difference.case.theirs),
    ),
    Reason(
        "asked-number",
        ("microvqa",),
        "After \"answer is\" lmms-eval takes a digit for the option's number, even where it begins the option's text.",
        lambda difference: difference.case.said.isdecimal() and len(difference.case.said) > 1,
    ),
    Reason(
        "weighed",
        ("geometry3k", "vstar_bench", "erqa"),
        'Of two letters that a reply weighs ("A or B") lmms-eval takes one; to us nothing is chosen.',
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
        'lmms-eval takes the reply\'s first character for the option when it is A to D: "Answer: B" chooses A.',
        lambda difference: difference.case.theirs.strip()[:1].upper() in tuple("ABCD"),
    ),
    Reason(
        "option-text",
        ("geometry3k", "erqa", "vstar_bench"),
        "The text of an option chooses it; lmms-eval knows no texts there, or reads an article in them as A.",
        lambda difference: difference.only_ours and difference.case.said in difference.case.sample.choices,
    ),
    Reason(
        "full-width",
        ("geometry3k", "erqa", "vstar_bench"),
        "Full-width letters, digits and punctuation are read as the usual ones.",
        lambda difference: difference.only_ours and difference.case.ours == "\uff21",
    ),
    Reason(
        "small-letter",
        ("erqa",),
        "A small letter that stands for an option counts; lmms-eval wants capitals.",
        lambda difference: difference.only_ours and difference.case.said.islower() and len(difference.case.said) == 1,
    ),
    Reason(
        "unmarked-letter",
        _LETTERED,
        "A letter or text that stands in a reply without being stated or marked as the choice is none to us: "
        '"a" may be an article. lmms-eval takes the likeliest.',
        _unmarked,
    ),
    Reason(
        "final-answer",
        ("chartqa", "slake_en", "mathvision_test", "vlmsareblind", "vstar_bench"),
        "We judge what the reply states as its answer, without its reasoning; lmms-eval judges the reply as it stands, "
        "and on that statement alone agrees with us.",
        lambda difference: difference.on_final == difference.ours,
    ),
    Reason(
        "number-forms",
        ("chartqa",),
        "Thousands separators and currency signs belong to a number, and a zero equals a zero however it is written.",
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
        "A yes or no may be explained or marked; lmms-eval wants the word alone.",
        _explained_yes,
    ),
    Reason(
        "word-anywhere",
        ("vlmsareblind",),
        'The authors\' code finds yes or no anywhere in a reply, "not Yes" too; lmms-eval wants the word alone.',
        lambda difference: (
            difference.only_ours
            and difference.case.sample.targets[0].lower() in ("yes", "no")
            and difference.case.sample.targets[0].lower() in difference.case.ours.lower()
        ),
    ),
    Reason(
        "plain-grid",
        ("vlmsareblind",),
        'Rows and columns may be written "4,5"; lmms-eval wants brackets around them.',
        _of_task("Counting Grid"),
    ),
    Reason(
        "circled-first-letter",
        ("vlmsareblind",),
        'lmms-eval takes the first letter of the reply for the circled one, that of "nan" too; we want it by itself.',
        _of_task("Circled Letter"),
    ),
)
