"""What a page is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from maestro_eval.records import PROTOCOLS


class NotFound(Exception):
    """There is no such page, run or rollout; the message says which."""


class Ask(Struct, frozen=True):
    """An address: its path, the named parts of it, and its query, in which a name may come several times."""

    path: str
    parts: Mapping[str, str]
    fields: Mapping[str, list[str]]

    def get(self, name: str, default: str = "") -> str:
        return self.fields.get(name, [default])[0]

    def all(self, name: str) -> list[str]:
        return list(self.fields.get(name, []))

    @property
    def flat(self) -> dict[str, str]:
        """The query with the first value of each name."""
        return {name: values[0] for name, values in self.fields.items()}

    @property
    def protocol(self) -> str:
        asked = self.get("protocol")
        return asked if asked in PROTOCOLS else "official"


class Answer(Struct, frozen=True):
    """What is sent back."""

    status: int
    body: bytes
    media_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
