r"""The one extractor for all benchmarks: from a reply to the places where its answer may be.

A reply is hostile text: no function raises, and each takes time linear in its text. `candidates` yields the places in
the order in which they are tried, each with the rule that found it:

| rule | example, whose answer is B |
|---|---|
| `tag` | ``<answer>B</answer>`` |
| `object` | ``{"answer": "B", "explanation": "coarse"}`` |
| `statement` | ``Answer: B``, ``### Answer`` over ``B``, ``\boxed{B}``, ``La respuesta es B`` (`text.statement`) |
| `conclusion` | ``The sign is on the left, so B.``, ``I choose B``, ``-> B``: in the last line |
| `last sentence` | ``The car is blue. B.`` |
| `last line` | ``The car is blue`` over ``B. Blue`` |
| `first line` | ``B`` over an explanation |

Each candidate has forms, from the whole down to what precedes an explanation ("B because …"). The readers of a form
depend on the kind of answer (an option, a number, …); `fair` applies them. A reply without an answer has a `NoAnswer`:
a missed answer is a wrong sample that one can inspect, a guessed one is a point that nobody earned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.json_answer import json_answer
from maestro_eval.scoring.negation import denied
from maestro_eval.scoring.numerals import WORD
from maestro_eval.text import NO_ANSWER, Statement, statements, tidied, visible
from maestro_eval.text import spoken as spoken_reply

Strictness = Literal["official", "fair", "strict"]
"""The way of reading a reply: by the authors' rule, as a careful human understands it, or as the answer alone."""


class Reply(Struct, frozen=True):
    """A reply as a reader sees it, without thoughts, control tokens and invisible characters.

    ``text`` has ASCII signs for full-width ones; ``written`` is the reply as written, or what is in its ``<answer>``.
    """

    text: str = ""
    written: str = ""
    missing: NoAnswer | None = None


class Candidate(Struct, frozen=True):
    """A place where the answer may be; ``after`` is the beginning of the text that follows it.

    ``place`` numbers the reply's statements from the last; candidates of one statement share it.
    """

    rule: str
    text: str
    after: str = ""
    place: int = 0

    @property
    def stated(self) -> bool:
        """Return whether the reply itself says that its answer is here."""
        return self.rule in ("tag", "object", "statement")


_ANSWER_TAG = re.compile(r"<(/?)answer>")
# As models sometimes write the tag, and as neutralised text has it.
_ANY_ANSWER_TAG = re.compile(r"[<\u2039]\s?(/?)\s?answer\s?[>\u203a]", re.IGNORECASE)
_NESTED_STATEMENTS = 3
_LONGEST_TYPESET = 4000
_LONGEST_LINE = 4000
_LONGEST_FIRST_LINE = 200
_AFTER = 80

# Full-width letters, digits and punctuation, as in Chinese text, character by character.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: ord("."), 0x3000: ord(" ")}
# The fraction slash, the ratio sign, and the Arabic percent sign and decimal separator.
_SIGNS = {0x2044: ord("/"), 0x2236: ord(":"), 0x066A: ord("%"), 0x066B: ord(".")}
# Arabic, Persian and Indian digits.
_SIGNS |= {zero + digit: ord("0") + digit for zero in (0x0660, 0x06F0, 0x0966) for digit in range(10)}
_MINUS = re.compile(r"(?<![\w)\]}.%$])[\u2212\u2013](?=[0-9.])")
ASIAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""The characters of Chinese, Japanese and Korean, for a class of a pattern."""
_BESIDE_ASIAN = re.compile(
    rf"(?<=[{ASIAN}])(?=[A-Za-z0-9$\\(*+-])|(?<=[A-Za-z0-9%$\u00b0)}}*])(?=[{ASIAN}])|(?<=[,.;:!?])(?=[{ASIAN}])"
)
_BOX_TOKEN = re.compile(r"[<\u2039]\|(begin|end)_of_box\|>")
_HEADING = re.compile(r"\A#{1,6}\s+")
_FENCED = re.compile(r"(?:```|~~~)[a-z]{0,12}\n([^`]*)\n(?:```|~~~)")
_QUOTED = re.compile(
    r"\*\*([^*]*)\*\*|\*([^*]*)\*|__([^_]*)__|`([^`]*)`|\"([^\"]*)\"|'([^']*)'|\u201c([^\u201d]*)\u201d|\u300c([^\u300d]*)\u300d"
)
_TYPESET = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathsf)\s?\{([^{}]*)\}")
_DOLLARS = re.compile(r"\$\$?([^$]*)\$\$?|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)
_TWO_BOXES = re.compile(r"\}[\s$.]{0,4}(?:or|and|,|/)[\s$]{0,4}\Z")
_SENTENCE = re.compile(r"(?<=[\w)\]}*\"'`$%\u00b0])[.!?][)\"'*]{0,2}\s+")
_CONCLUDES = re.compile(
    r"(?:\A|(?<=[\s,.;:(]))(?:so|(?<=,\s)but(?!\snot\b)|on\s(?:reflection|second\sthought)|(?:most\s)?(?:probably|likely)|definitely|certainly|clearly|hence|thus|therefore|thereby|consequently|overall|finally|in\s(?:conclusion|summary|short)"
    r"|to\sconclude|meaning|namely|i\.e\.|(?:(?:that|this)\sis|(?:which|that|this)\s(?:means|gives|makes|leaves))|leaving|by\selimination|points?\sto|(?<![a-z]\s)it\s(?:looks|seems)\slike"
    r"|i(?:\swould|\swill|'ll|'d|\u2019ll|\u2019d|\s?am|'m)?\s(?:choose|pick|select|say|answer|go(?:ing)?\s(?:with|for)|guess|think|believe)"
    r"|(?:i|we)\s(?:get|find|have|obtain|see|count(?:ed)?)|my\s(?:choice|guess|pick)\sis|(?<![a-z]\s)it(?:\sis|'s|\u2019s|\smust\sbe))"
    r"(?:\s(?:that\s)?(?:it(?:\sis|'s)|this\sis|there\sare|the\scorrect\s(?:option|choice)\sis|we\s(?:get|have)))?[\s,:]{1,4}"
    r"|(?:->|=>|\u2192|\u21d2|\u27a1\ufe0f?|\u2234|\\(?:therefore|implies|Rightarrow|rightarrow|to))\s{0,4}",
    re.IGNORECASE,
)
# What follows an answer and is no part of it: its reason, its explanation, what it is not. White space is bounded
# because a search tries it from each of its characters.
_EXPLAINED = re.compile(
    r"[,;]?\s{1,40}(?:because|since|as\s(?:the|it|there|shown|seen|indicated|both|all|he|she|they)|due\sto|given\sthat|based\son"
    r"|which|where|for\sthe|not\b|rather\sthan|instead\sof|in\sthe\s(?:image|picture|figure|chart|diagram|photo|graph)"
    r"|is\s(?:the\s)?(?:correct|right|best|final|answer)(?:\s(?:answer|option|choice|one))?)\b"
    r"|,\s|[;\uff0c]|\.(?=[\u3040-\u9fff\uac00-\ud7af])|\s[\u2013\u2014-]{1,2}\s|:\s|\s\(|\.\s|\n",
    re.IGNORECASE,
)
_RETRACTS = re.compile(
    r"[\W_]{0,8}(?:no\b(?=\W*\Z|[ ]?[,.;:!?\u2013\u2014-]|\s(?:wait|it|that|i|actually|sorry|make|rather|[a-z0-9])\b)"
    r"|wait\b|hmm+\b|actually\b|sorry\b|oops\b|correction\b|scratch\sthat|on\ssecond"
    r"\sthought|or\srather\b|i\smean\b|let\sme\s(?:re|correct)|(?:or\s)?(?:maybe|perhaps|possibly)\b|or\b|but\s(?:it\s)?(?:could|might|may)"
    r"|/\s?[A-Z]\b)",
    re.IGNORECASE,
)
_NEXT_NUMBER = re.compile(
    r"\s{0,4}[-,;/&+*:=^\u00b7\u00d7\u2013]\s{0,4}(?:(?:and|or)\s{1,4})?[({\[$]{0,3}[-+]?(?:[0-9]|\\(?:frac|sqrt|pi)\b)"
)
# "4 people are", before "not wearing hats".
_BREAKS_OFF = re.compile(r"\b(?:is|are|was|were|do|does|did)\Z")
_NEXT_EQUATION = re.compile(r",\s{0,4}(?:so\s)?[A-Za-z]\w{0,3}\s{0,4}=")
_THEREFORE = re.compile(r"[,;]\s{1,4}(?:and\s)?(?:so|thus|hence|therefore)\b", re.IGNORECASE)
# The end of a number, or of an expression with one.
_NUMBER_ENDS = re.compile(r"(?:[0-9)}\]\u03c0]|\\pi)\Z")
_UNFINISHED = re.compile(r"(?:\b(?:or|and|not|nor|neither)|[,/&])[\W_]*\Z", re.IGNORECASE)
_MAYBE = re.compile(r"\b(?:maybe|perhaps|possibly)\W{1,4}\Z", re.IGNORECASE)
# Of "Since x is 5, the angle is 45" the part after the comma answers.
_CONDITION = re.compile(r"\A\W*(?:since|because|as)\b[^,]{1,200},", re.IGNORECASE)
_CONCLUSION = re.compile(r"\A\s*so\b|[,;]\s(?:and\s)?so\b|\b(?:thus|hence|therefore|giving|yielding)\b", re.IGNORECASE)
# "5 people, 3 of whom wear hats": either number may be the count.
_PART_OF_THEM = re.compile(
    r"[,;]?\s{1,4}(?:(?:and|but|only)\s){0,2}"
    rf"(?:\S{{1,12}}\sof\s(?:whom|them|which|these|those)|(?:[0-9]{{1,3}}|{WORD})\s(?:is|are|has|have))\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\W*(?:an?|the)\W*", re.IGNORECASE)
_FIRST_ITEM = re.compile(r"1[.)]\s")
UNSURE = re.compile(
    r"\b(?:can\s?not|can't|can\u2019t|could\snot|couldn't|unable\sto|impossible\sto|not\spossible\sto|hard\sto|difficult\sto|not\sable\sto)"
    r"\s(?:be\s)?(?:tell|determin|say|see|decid|know|make\sout|identif|answer|conclude|confirm|discern|read)"
    r"|\b(?:not\s(?:sure|certain|clear|enough|visible)|unclear|unknown|undetermined|indeterminate|no\sidea|don'?t\sknow|insufficient)",
    re.IGNORECASE,
)
"""Words of a text that gives no answer because it cannot tell."""


def read_reply(reply: str) -> Reply:
    r"""Return the reply as a reader sees it; box tokens become ``\boxed{}``, full-width signs ASCII ones."""
    said = spoken_reply(reply)
    if said.cut:
        return Reply(missing=NoAnswer.CUT)
    written = visible(_boxes(said.text)).strip()
    if not written:
        return Reply(missing=NoAnswer.EMPTY)
    tagged = [answer for answer in tagged_answers(written) if answer]
    return Reply(legible(written).strip(), tagged[-1] if tagged else written)


def spoken(text: str) -> str:
    """Return the reply without its thoughts, stripped; empty if it was cut off within a thought."""
    return spoken_reply(text).text


def candidates(text: str) -> Iterator[Candidate]:
    """Yield the places where the answer of a reply's ``text`` may be, in the order of the module's table."""
    tagged = [answer for answer in tagged_answers(text, _ANY_ANSWER_TAG) if answer]
    if tagged:
        if tagged[-1] != text:
            yield from _of_tag(tagged[-1])
        return
    given = json_answer(text)
    if given is not None:
        yield Candidate("object", given)
        return
    for place, stated in enumerate(statements(text)):
        yield from _of_statement(text, stated, place)
    yield from _unstated(text)


def forms(text: str) -> Iterator[str]:
    """Yield the readings of a candidate's text: all of it, then what precedes an explanation, the longest first."""
    whole = untypeset(text)
    yield whole
    seen = {whole}
    ends = [match.start() for match in _EXPLAINED.finditer(text[:_LONGEST_LINE])]
    for end in (*reversed(ends[:4]),):
        form = untypeset(text[:end])
        if form and form not in seen:
            seen.add(form)
            yield form


def refusal(text: str) -> NoAnswer | None:
    """Return why the last box states no answer: it is denied, or beside a box that says something else; else None."""
    stated = next(iter(statements(text)), None)
    if stated is None or not stated.boxed or not _no_box(text, stated):
        return None
    return NoAnswer.DENIED if denied(text, stated.begin, len(text)) else NoAnswer.SEVERAL


def boxes_side_by_side(text: str) -> str:
    """Return the contents of boxes that are side by side, as a list; empty if there are none."""
    boxed = [stated for stated in statements(text) if stated.boxed]
    if len(boxed) < 2 or not _TWO_BOXES.search(text[max(boxed[0].begin - 12, 0) : boxed[0].begin]):
        return ""
    return f"{boxed[1].value}, {boxed[0].value}"


def retracts(after: str) -> bool:
    """Return whether the text after an answer takes it back or names another: "B, no, C", "B or maybe D"."""
    return bool(_RETRACTS.match(after))


def lists(form: str, after: str) -> bool:
    """Return whether an answer begins a list or calculation, or is a whole or a reason: "3, 4", "5, 3 of them red"."""
    if _THEREFORE.match(after) or ("=" in form and _NEXT_EQUATION.match(after)) or _BREAKS_OFF.search(form):
        return True
    return bool((_NUMBER_ENDS.search(form) and _NEXT_NUMBER.match(after)) or _PART_OF_THEM.match(after))


def concluded(sentence: str) -> str:
    """Return what a sentence concludes: the text after its last "so", "hence" or "thus", or after "since …,"."""
    sentence = _CONDITION.sub("", sentence)
    return sentence[max((match.end() for match in _CONCLUSION.finditer(sentence)), default=0) :]


def final_answer(text: str) -> str:
    r"""Return what a reply states as its answer, else all of it.

    Answers are stated by ``<answer>X</answer>``, ``Answer: X``, ``the answer is X`` or ``\boxed{X}``.

    Thoughts are removed first; finally the markup of the whole (stars, quotes, a code block, ``\text{}``) and its full
    stop. Two boxes side by side state no answer, nor does a denied one.
    """
    answer = visible(_boxes(spoken(text))).strip()
    tagged = tagged_answers(answer)
    answer = tagged[-1] if tagged and tagged[-1] else answer
    for _ in range(_NESTED_STATEMENTS):
        stated = next((each for each in statements(answer) if each.answer), None)
        if stated is None or _no_box(answer, stated) or stated.answer == answer:
            break
        answer = stated.answer
    return untypeset(answer)


def half_width(text: str) -> str:
    """Replace full-width letters, digits and punctuation by ASCII: ``（Ｂ）。`` becomes ``(B).``"""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def legible(text: str) -> str:
    """Replace signs by ASCII ones, and put spaces between Chinese, Japanese or Korean and ASCII."""
    if text.isascii():
        return text
    return _BESIDE_ASIAN.sub(" ", _MINUS.sub("-", half_width(text).translate(_SIGNS)))


def tagged_answers(text: str, tags: re.Pattern[str] = _ANSWER_TAG) -> list[str]:
    """Return what is between ``<answer>`` and ``</answer>``, in order, stripped.

    An answer begins at the opening nearest to a closing tag, as in a rollout: words about the tag do no harm.
    """
    found: list[str] = []
    begin = -1
    for tag in tags.finditer(text):
        if not tag.group(1):
            begin = tag.end()
        elif begin >= 0:
            found.append(text[begin : tag.start()].strip())
            begin = -1
    return found


def untypeset(text: str) -> str:
    r"""Strip markup around all of ``text``: stars, quotes, a code block, dollars, ``\text{}``, its full stop."""
    if len(text) > _LONGEST_TYPESET:
        return text
    bare = _HEADING.sub("", text.strip())
    for pattern in (_FENCED, _QUOTED, _DOLLARS, _TYPESET, _QUOTED):
        # A full stop may be on either side of the last star.
        bare = _without_stop(bare)
        whole = pattern.fullmatch(bare)
        bare = next((group.strip() for group in whole.groups() if group is not None), bare) if whole else bare
    return tidied(_without_stop(bare)) if not bare.startswith("\\(") else _without_stop(bare)


def _of_tag(tagged: str) -> Iterator[Candidate]:
    # The content of the tag is the answer, and may itself state it ("The answer is (B)").
    stated = [found for each in statements(tagged)[:1] for found in _of_statement(tagged, each, place=0)]
    given = json_answer(tagged)
    if given is not None:
        yield Candidate("object", given)
        return
    yield from stated
    yield Candidate("tag", tagged)
    yield from _unstated(tagged)


def _of_statement(text: str, stated: Statement, place: int, depth: int = _NESTED_STATEMENTS) -> Iterator[Candidate]:
    if _no_box(text, stated):
        return
    if depth and not stated.boxed:
        for inner in statements(stated.value):
            yield from _of_statement(stated.value, inner, place, depth - 1)
    after = text[stated.end : stated.end + _AFTER]
    if stated.boxed or not NO_ANSWER.match(tidied(stated.value)):
        yield Candidate("statement", stated.value, after, place)


def _unstated(text: str) -> Iterator[Candidate]:
    lines = [line.strip() for line in text.split("\n") if any(sign.isalnum() for sign in line)]
    if not lines:
        return
    last = lines[-1][-_LONGEST_LINE:]
    for match in reversed(list(_CONCLUDES.finditer(last))[-3:]):
        conclusion = last[match.end() :]
        if _MAYBE.search(last[max(match.start() - _AFTER, 0) : match.start()]):
            continue
        # "It is a" breaks off before its noun; "Hence, a." and "so A" name a letter.
        if not _ARTICLE.fullmatch(conclusion) or "A" in conclusion or match.group().rstrip()[-1:] in (",", ":"):
            yield Candidate("conclusion", conclusion)
            if _CONCLUSION.search(match.group()):
                break
    sentences = _SENTENCE.split(last)
    if len(lines) == 1 or not _UNFINISHED.search(lines[-2][-_AFTER:]):
        yield Candidate("last sentence", sentences[-1])
        yield Candidate("last line", last)
    if len(lines) > 1 and len(lines[0]) <= _LONGEST_FIRST_LINE and not _FIRST_ITEM.match(lines[0]):
        yield Candidate("first line", lines[0], "\n".join(lines[1:])[:_LONGEST_LINE])


def _boxes(text: str) -> str:
    """Write GLM's box tokens as LaTeX's box; drop a token without its other half."""
    if "_of_box|>" not in text:
        return text
    pieces: list[str] = []
    begin: re.Match[str] | None = None
    at = 0
    for token in _BOX_TOKEN.finditer(text):
        if token[1] == "begin":
            begin = token
        elif begin is not None:
            before = _BOX_TOKEN.sub("", text[at : begin.start()])
            pieces += [before, "\\boxed{", text[begin.end() : token.start()], "}"]
            at, begin = token.end(), None
    return "".join(pieces) + _BOX_TOKEN.sub("", text[at:])


def _no_box(text: str, stated: Statement) -> bool:
    """Return whether a box is denied, or beside a box that says something else."""
    if not stated.boxed:
        return False
    if denied(text, stated.begin, len(text)):
        return True
    if not _TWO_BOXES.search(text[max(stated.begin - 12, 0) : stated.begin]):
        return False
    return any(each.value != stated.value for each in statements(text[: stated.begin])[:1] if each.boxed)


def _without_stop(text: str) -> str:
    return text if text.endswith("..") else text.removesuffix(".").rstrip()
