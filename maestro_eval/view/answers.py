"""A request for a page (`Ask`) and its response (`Answer`), without HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from maestro_eval.records import PROTOCOLS


class NotFound(Exception):
    """No such page, run or rollout exists; the message names it."""


class Ask(Struct, frozen=True):
    """A requested address: its path, the named groups of its route, and its query with all values of each name."""

    path: str
    parts: Mapping[str, str]
    fields: Mapping[str, list[str]]

    def get(self, name: str, default: str = "") -> str:
        return self.fields.get(name, [default])[0]

    def number(self, name: str, default: int = 1) -> int:
        """Return a field as a whole number (its first nine digits), or ``default`` if it is 0 or no number."""
        text = self.get(name)[:9]
        return int(text) or default if text.isascii() and text.isdigit() else default

    @property
    def flat(self) -> dict[str, str]:
        """The query with the first value of each name."""
        return {name: values[0] for name, values in self.fields.items()}

    @property
    def protocol(self) -> str:
        asked = self.get("protocol")
        return asked if asked in PROTOCOLS else "official"


class Answer(Struct, frozen=True):
    status: int
    body: bytes
    media_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
