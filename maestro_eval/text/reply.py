"""Separates what a model's reply says from its thoughts and from invisible characters.

Servers differ in what they leave in a reply: the marks of a thought (each family has its own), control tokens of the
chat template, characters without a glyph. All functions take time linear in the text and never raise.
"""

from __future__ import annotations

import re
import unicodedata

from msgspec import Struct

# `neutralise` replaces the "<" of a mark that a model wrote by "‹".
_MARK = re.compile(
    r"""
    (?: [<\u2039] (?P<end>
            \|(?:END_THINKING|end_of_thought)\| | unused95 | channel\| | \|channel\|>\s?final\s?<\|message\| ) >
      | [<\u2039] (?: \|(?:START_THINKING|begin_of_thought)\|> | unused94>
          | \|channel\|?> \s? (?:analysis|commentary|thought) (?:[^<\n]{0,40}<\|message\|>)? )
      | [<\u2039\u25c1] [ |]{0,2} (?P<slash>/?) [ |]{0,2} (?:\w{1,12}[:_])?     # <think> ◁/think▷ <seed:think>
        (?:think|thinking|thoughts?|reasoning) (?:\s[^<>\n]{0,60})? [ |]{0,2} [>\u203a\u25b7]
      | \[ (?P<square>/?) (?-i:THINK) \]
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_OTHER_TURN = re.compile(
    r"[<\u2039](?:\|im_start\||\|start_header_id\||start_of_turn)>\s?(?:user|human|system)\b", re.IGNORECASE
)
_ROLE = re.compile(
    r"[<\u2039](?:\|im_start\||\|start_header_id\||\|start\||start_of_turn)>\s?(?:assistant|model)\b", re.IGNORECASE
)
_CONTROL = re.compile(
    r"[<\u2039](?:[|\uff5c][^<>|\uff5c\u2039\n]{1,40}[|\uff5c]"
    r"|/?(?:s|bos|eos|pad|(?:start|end)_of_(?:turn|image))|unused[0-9]{1,4})>|\[/?INST\]",
    re.IGNORECASE,
)
# Beside the categories Cf and Cc: variation selectors, fillers and the joiner that have another category.
_UNSEEN = {*range(0xFE00, 0xFE10), 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
_SEEN_CONTROLS = "\n\r\t\v\f"


class Spoken(Struct, frozen=True):
    """``text`` is the part of a reply outside of its thoughts; ``cut``: it ended within a thought, and says nothing."""

    text: str
    cut: bool = False


def spoken(reply: str) -> Spoken:
    """Return what a reply says after its thoughts.

    All text before a closing mark without an opening one is a thought: the chat template may have opened it. With
    several thoughts, the last part outside of them counts.
    """
    said: list[str] = []
    thinking, begin = False, 0
    for mark in _MARK.finditer(reply):
        closes = mark["slash"] or mark["square"] or mark["end"]
        if closes:
            said = said if thinking else []
            thinking, begin = False, mark.end()
        elif not thinking:
            said.append(reply[begin : mark.start()])
            thinking = True
    if thinking:
        return Spoken("", cut=True)
    said.append(reply[begin:])
    worded = (part for part in reversed(said) if any(sign.isalnum() for sign in part))
    return Spoken(next(worded, said[-1]).strip())


def visible(text: str) -> str:
    """Return ``text`` as a reader sees it: composed (NFC), without control tokens and characters that have no glyph.

    Text after the start of another role's turn is not the model's and is dropped.
    """
    if "<" in text or "\u2039" in text or "[" in text:
        other = _OTHER_TURN.search(text)
        text = _CONTROL.sub("", _ROLE.sub("", text[: other.start()] if other else text))
    return seen(text)


def seen(text: str) -> str:
    """Return ``text`` composed (NFC), without characters that have no glyph."""
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFC", "".join(sign for sign in text if _is_seen(sign)))


def _is_seen(sign: str) -> bool:
    if sign in _SEEN_CONTROLS or (sign.isascii() and sign.isprintable()):
        return True
    return unicodedata.category(sign) not in ("Cf", "Cc") and ord(sign) not in _UNSEEN
