"""Reads the pictures of requests to the simulated server: as bytes and, like vLLM, from files and by UUIDs.

Refusals have the wording of vLLM's.
"""

from __future__ import annotations

import base64
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from maestro_eval.testing.behaviour import RefusedError

PictureWay = Literal["bytes", "file", "uuid"]


class PictureDesk:
    """Reads pictures from files below ``media_path`` (empty: none) and caches up to ``cached`` by UUID."""

    def __init__(self, media_path: str, cached: int) -> None:
        self._media_path = media_path
        self._cached = cached
        self._by_uuid: OrderedDict[str, str] = OrderedDict()

    @property
    def is_vllm(self) -> bool:
        """True if files or UUIDs are accepted, as by vLLM."""
        return bool(self._media_path or self._cached)

    def take(self, messages: list[dict[str, Any]]) -> tuple[PictureWay, ...]:
        """Replace each picture in ``messages`` by its data URL; return how each was sent. Raise RefusedError."""
        parts = [
            part
            for message in messages
            if isinstance(message.get("content"), list)
            for part in message["content"]
            if part.get("type") == "image_url"
        ]
        return tuple(self._resolve(part, number) for number, part in enumerate(parts))

    def _resolve(self, part: dict[str, Any], number: int) -> PictureWay:
        uuid, shown = str(part.get("uuid") or ""), part.get("image_url")
        if shown is None and not (self._cached and uuid):
            raise RefusedError("1 validation error: image_url: Input should be a valid dictionary")
        if shown is None:
            if uuid not in self._by_uuid:
                raise RefusedError(f"Cache miss for image at index {number} but data is not provided.")
            self._by_uuid.move_to_end(uuid)
            part["image_url"] = {"url": self._by_uuid[uuid]}
            return "uuid"
        url, way = str(shown.get("url")), "bytes"
        if url.startswith("file:"):
            shown["url"] = url = self._read(url)
            way = "file"
        elif not url.startswith("data:"):
            raise RefusedError("The URL must be either a HTTP, data or file URL.")
        if self._cached and uuid:
            self._by_uuid[uuid] = url
            while len(self._by_uuid) > self._cached:
                self._by_uuid.popitem(last=False)
        return "file" if way == "file" else "bytes"

    def _read(self, url: str) -> str:
        if not self._media_path:
            raise RefusedError("Cannot load local files without `--allowed-local-media-path`.")
        file = Path(os.path.realpath(unquote(urlsplit(url).path)))
        if not file.is_relative_to(os.path.realpath(self._media_path)):
            raise RefusedError(f"The file path {file} must be a subpath of `--allowed-local-media-path`.")
        try:
            return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
        except OSError as error:
            raise RefusedError(f"{type(error).__name__}: {error}") from None
