r"""Reads the orchestrator's prompt from a release's example Parquet, as templates that render it byte for byte.

The file's columns are ``data_source, prompt, ability, images, reward_model, extra_info``: ``prompt`` is a chat of one
system and one user message, and ``extra_info.question`` is the question within the user message. The text around the
question must be the same in every row of every file.

``<image>`` is not text: the release's loader replaces each by a picture, so the model never reads the word. It is left
out here. White space between several at the beginning is repeated once per image.

The text is untrusted: whatever Jinja2 would interpret (``{{``, ``{%``, ``{#``, and ``\r``, which it would rewrite) is
written as a quoted string, so that no text, ``{% endraw %}`` included, can become a statement.

At most ``MAX_ROWS`` rows of a file are read, a few at a time, and no message may exceed ``MAX_TEXT`` characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from maestro_eval.files import open_parquet
from maestro_eval.records import UserError
from maestro_eval.registry import Prompts

COLUMNS = ("data_source", "prompt", "ability", "images", "reward_model", "extra_info")
PLACEHOLDER = "<image>"
MAX_ROWS = 2000
MAX_TEXT = 1_000_000

_MAX_FILES = 1000
_BATCH_ROWS = 8
# A short question ("2") may occur many times in the text; the other rows show which occurrence is meant.
_MAX_PLACES = 1000
_ACTIVE = re.compile(r"\r|\{(?=[{%#\r]|\Z)")
_SPACE = re.compile(r"[ \t\r\n]{1,16}")
_IMAGES = re.compile(rf"(?:{re.escape(PLACEHOLDER)}[ \t\r\n]{{0,8}})+")


class ReleasedRow(Struct, frozen=True):
    """One row: its two messages and its question, without placeholders, and its number of images.

    ``where`` names its file and row, from 1. ``images_first`` is True if all placeholders are at the beginning of the
    user message, where our messages have the images.
    """

    where: str
    system: str
    user: str
    question: str
    images: int
    images_first: bool


def find_parquets(place: Path) -> list[Path]:
    """Return the example files: ``place`` itself, or the Parquet files below it that have the columns."""
    if place.is_file():
        missing = [column for column in COLUMNS if column not in open_parquet(place, _BATCH_ROWS).schema.names]
        if missing:
            raise UserError(
                f"{place}: column {missing[0]!r} is missing; the release's example Parquet has {', '.join(COLUMNS)}"
            )
        return [place]
    if not place.is_dir():
        raise UserError(f"{place}: no such file or folder; give the released repository or its example Parquet")
    seen = sorted(_first_parquet_files(place))
    fitting = [file for file in seen if _fits(file)]
    if not fitting:
        raise UserError(
            f"{place}: none of the {len(seen)} *.parquet files in it has the columns {', '.join(COLUMNS)}; "
            f"give the example Parquet itself"
        )
    return fitting


def read_rows(files: Sequence[Path]) -> list[ReleasedRow]:
    """Read the rows of the files (at most ``MAX_ROWS`` of each). UserError names the first malformed row."""
    rows = [_row(file, number, raw) for file in files for number, raw in enumerate(_raw_rows(file), start=1)]
    if not rows:
        raise UserError(f"{files[0]}: contains no row, so no prompt; give a Parquet file with at least one example")
    return rows


def templates_of(rows: Sequence[ReleasedRow]) -> Prompts:
    """Return exact templates of every row's messages. Raise UserError if more than the question differs."""
    others = [row.where for row in rows if row.system != rows[0].system]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UserError(
            f"{others[0]}{more}: another system message than that of {rows[0].where}; "
            f"a registry has one prompt, so give one file of each prompt at a time"
        )
    # Jinja2 drops one newline at the end of a template, so each template gets one more.
    return Prompts(system=as_template(rows[0].system) + "\n", user=_user_template(rows) + "\n", exact=True)


def as_template(text: str) -> str:
    """Return a template that renders as ``text``, whatever ``text`` contains; it lacks the final newline."""
    return _ACTIVE.sub(lambda active: r"{{ '\r' }}" if active[0] == "\r" else "{{ '{' }}", text)


class _Frame(Struct, frozen=True):
    """The text around the question: white space ``repeated`` once per image and ``before``; after it, ``after``."""

    repeated: str
    before: str
    after: str

    def template(self) -> str:
        images = f"{{{{ {json.dumps(self.repeated)} * images }}}}" if self.repeated else ""
        return f"{images}{as_template(self.before)}{{{{ question }}}}{as_template(self.after)}"


def _user_template(rows: Sequence[ReleasedRow]) -> str:
    common: dict[_Frame, None] | None = None
    for row in rows:
        frames = dict.fromkeys(_frames(row))
        if not frames:
            raise UserError(f"{row.where}: no question found: extra_info.question is not in the user message")
        # Dicts preserve the order of preference, which sets would lose.
        common = frames if common is None else {frame: None for frame in common if frame in frames}
        if not common:
            raise UserError(
                f"{row.where}: the user message around the question differs from that of the rows before; "
                f"a registry has one prompt, so give one file of each prompt at a time"
            )
    return next(iter(common or {})).template()


def _frames(row: ReleasedRow) -> Iterator[_Frame]:
    """Yield all ways to split the row's user message; those that repeat the white space of the images come first."""
    plain: list[_Frame] = []
    place = row.user.find(row.question)
    while place >= 0 and len(plain) < _MAX_PLACES:
        plain.append(_Frame("", row.user[:place], row.user[place + len(row.question) :]))
        place = row.user.find(row.question, place + 1)
    space = _SPACE.match(row.user)
    for length in range(len(space[0]) // row.images if space and row.images else 0, 0, -1):
        repeated = row.user[:length]
        for frame in plain:
            if frame.before.startswith(repeated * row.images):
                yield _Frame(repeated, frame.before[length * row.images :], frame.after)
    yield from plain


def _row(file: Path, number: int, raw: dict[str, Any]) -> ReleasedRow:
    where = f"{file}: row {number}"
    chat = raw["prompt"]
    said = [(m.get("role"), m.get("content")) for m in chat if isinstance(m, dict)] if isinstance(chat, list) else []
    if [role for role, _ in said] != ["system", "user"]:
        roles = ", ".join(str(role) for role, _ in said[:5]) or "none"
        raise UserError(f"{where}: prompt should be one system and one user message, but its roles are: {roles}")
    (_, system), (_, user) = said
    if not isinstance(system, str) or not isinstance(user, str):
        raise UserError(f"{where}: prompt: the content of a message should be a string")
    if max(len(system), len(user)) > MAX_TEXT:
        raise UserError(f"{where}: prompt: a message is longer than {MAX_TEXT} characters, which no prompt is")
    placeholders = _IMAGES.match(user)
    images = len(raw["images"] or ())
    info = raw["extra_info"]
    question = info.get("question") if isinstance(info, dict) else None
    if not isinstance(question, str) or not question.replace(PLACEHOLDER, ""):
        raise UserError(f"{where}: no question found: extra_info.question should be a string with the row's question")
    return ReleasedRow(
        where=where,
        system=system,
        user=user.replace(PLACEHOLDER, ""),
        question=question.replace(PLACEHOLDER, ""),
        images=images,
        images_first=user.count(PLACEHOLDER) == (placeholders[0].count(PLACEHOLDER) if placeholders else 0),
    )


def _raw_rows(file: Path) -> Iterator[dict[str, Any]]:
    left = MAX_ROWS
    reader = iter(open_parquet(file, _BATCH_ROWS))
    while left > 0:
        try:
            batch = next(reader, None)
        except Exception as error:  # arro3 raises its own types for a page that does not decode
            raise UserError(f"{file}: damaged Parquet ({' '.join(str(error).split())}); fetch it again") from error
        if batch is None:
            return
        for index in range(min(left, batch.num_rows)):
            left -= 1
            yield {name: batch.column(name)[index].as_py() for name in ("prompt", "extra_info", "images")}


def _fits(file: Path) -> bool:
    try:
        return set(COLUMNS) <= set(open_parquet(file, _BATCH_ROWS).schema.names)
    except UserError:
        return False  # a damaged file that the user did not name


def _first_parquet_files(place: Path) -> Iterator[Path]:
    for count, file in enumerate(place.rglob("*.parquet")):
        if count == _MAX_FILES:
            return
        if file.is_file():
            yield file
