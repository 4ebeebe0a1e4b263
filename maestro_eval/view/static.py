"""Writes the viewer's pages as files that open from a disk or from any static host.

The export crawls the server's pages from the list of runs and turns links into file names. Links to pages that are not
written (a search, a combination of filters) become plain text; forms are removed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from html import escape, unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.view.filters import read_filters
from maestro_eval.view.html import HERE, line
from maestro_eval.view.library import Known, Library
from maestro_eval.view.pictures import Pictures
from maestro_eval.view.site import Site

MOST = 5_000
"""The most rollouts of a run that are written without ``--subset``."""

_MOST_COMPARED = 8
_POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'"
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
_ROLLOUT_FIELDS, _PAIR_FIELDS = ("turns_page",), ("system", "rank", "other")
_META = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
# Patterns for our own templates, which quote every attribute and escape every bracket and quote of a text.
_SERVER_ONLY = re.compile(r"<(form|p|td|th)\b[^>]* data-server.*?</\1>|</?form\b[^>]*>", re.DOTALL)
_LIVE = re.compile(r' data-live="\d+"')
_ADDRESS = re.compile(r' (href|src)="([^"]*)"')


class Written(Struct, frozen=True):
    """The result of an export: its first page, and the numbers of pages and pictures written."""

    index: Path
    pages: int
    pictures: int


def write_static(
    library: Library, pictures: Pictures, out: Path, show: Callable[[int, int], object] = lambda written, known: None
) -> Written:
    """Write all pages of ``library`` into the empty or new folder ``out``.

    ``show`` is called after each page with the numbers of pages written and known so far. Raise UserError if ``out`` is
    not empty, or if a run is too large to be written without a subset.
    """
    runs = library.runs()
    if not runs:
        raise UserError(f"{', '.join(map(str, library.folders))}: no run folder below; nothing to write")
    for known in runs:
        if library.subset is None and (planned := library.counts(known).planned) > MOST:
            raise UserError(f"{known.folder}: has {planned:,} rollouts; give --subset N to write a sample of them")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name in ("style.css", "view.js", "icon.svg"):
        shutil.copyfile(HERE / "assets" / name, out / name)
    note = ""
    if library.subset is not None:
        note = f"Rollouts of {library.subset:,} samples of each run are here. The numbers are of whole runs."
    export = _Export(Site(library, pictures), out, list(_comparisons(runs)), note)
    export.write_all(show)
    return Written(out / "index.html", export.pages, export.pictures)


def _comparisons(runs: list[Known]) -> Iterator[tuple[str, str]]:
    """List the pairs of runs to compare, as labels and addresses; the older run is the baseline."""
    systems = [run for run in reversed(runs) if not run.manifest.candidates][:_MOST_COMPARED]
    for number, baseline in enumerate(systems):
        for system in systems[number + 1 :]:
            if {task.name for task in baseline.manifest.tasks} & {task.name for task in system.manifest.tasks}:
                yield f"{system.name} against {baseline.name}", f"/compare?run={baseline.id}&run={system.id}"


class _Export:
    """A crawl over the pages that writes each address once."""

    def __init__(self, site: Site, out: Path, comparisons: list[tuple[str, str]], note: str) -> None:
        self._note = f'<p class="quiet">{note}</p></main>' if note else "</main>"
        self._site = site
        self._out = out
        self._comparisons = comparisons
        self._names: dict[str, str] = {}
        self._waiting: deque[str] = deque()
        self.pages = 0
        self.pictures = 0

    def write_all(self, show: Callable[[int, int], object]) -> None:
        self.file_of("/")
        while self._waiting:
            address = self._waiting.popleft()
            path, _, query = address.partition("?")
            answer = self._site.answer(path, query)
            while answer.status == 202:
                answer = self._site.answer(path, query)
            body = answer.body
            if answer.media_type == "text/html":
                text = self._without_server(body.decode()).replace("</main>", self._note)
                body = (self._with_comparisons(text) if address == "/" else text).encode()
            (self._out / self._names[address]).write_bytes(body)
            self.pages += 1
            show(self.pages, self.pages + len(self._waiting))

    def file_of(self, href: str) -> str | None:
        """Return the file name of an address and queue it for writing; ``None`` if it is not exported."""
        split = urlsplit(href)
        path, query = split.path, split.query
        kind = path.rsplit("/", 2)[-1] if "/rollout/" not in path or path.endswith(("/text", "/raw")) else "rollout"
        if kind == "samples" and not _is_simple(query):
            return None
        if kind in ("rollout", "raw"):
            # Filters are dropped, so "next" leads through all rollouts: a file for each filter would be too many.
            kept = _ROLLOUT_FIELDS if path.startswith("/run/") else _PAIR_FIELDS
            query = "&".join(sorted(each for each in query.split("&") if each.partition("=")[0] in kept))
        address = f"{path}?{query}" if query else path
        if address not in self._names:
            ending = {"text": "txt", "raw": "json"}.get(kind, "html")
            self._names[address] = "index.html" if address == "/" else f"{_slug(address)}.{ending}"
            self._waiting.append(address)
        return self._names[address]

    def picture(self, path: str) -> str | None:
        """Write a picture and return its file name; ``None`` if it is not available."""
        if path not in self._names:
            self._names[path] = ""
            read = self._site.picture(path)
            answer = read() if read is not None else None
            if answer is not None and answer.status == 200:
                sha, small = path.rsplit("/", 1)[1], "/thumbnail/" in path
                name = f"{sha[:24]}{'-small' if small else ''}.{_ENDINGS[answer.media_type]}"
                # Every rollout has an address of its own for the picture of its sample.
                self.pictures += not (self._out / name).exists()
                (self._out / name).write_bytes(answer.body)
                self._names[path] = name
        return self._names[path] or None

    def _without_server(self, page: str) -> str:
        """Turn a page's addresses into file names and remove the parts that need a server."""
        return _ADDRESS.sub(self._link, _LIVE.sub("", _SERVER_ONLY.sub("", page))).replace("<head>", f"<head>{_META}")

    def _link(self, found: re.Match[str]) -> str:
        address = unescape(found[2])
        file: str | None = address
        if address.startswith("/assets/"):
            file = address.removeprefix("/assets/")
        elif "/picture/" in address or "/thumbnail/" in address:
            file = self.picture(address)
        elif not address.startswith("#"):
            file = self.file_of(address)
        return f' {found[1]}="{escape(file)}"' if file else ""

    def _with_comparisons(self, page: str) -> str:
        items = "".join(
            f'<li><a href="{self.file_of(address)}">{escape(line(label))}</a></li>'
            for label, address in self._comparisons
        )
        section = f'<section><h2>Comparisons</h2><ul class="plain">{items}</ul></section>' if items else ""
        return page.replace("</main>", f"{section}</main>")


def _is_simple(query: str) -> bool:
    """Return True if the table is exported: it has at most one filter, or those of a comparison's links."""
    filters = read_filters({name: values[0] for name, values in parse_qs(query).items()})
    names = set(filters.active) - {"other"}
    if filters.sort != "order" or "q" in names:
        return False
    if filters.protocol != "official":
        return names <= {"verdict"}
    return len(names) <= 1 or any(names == {"change", beside} for beside in ("task", "last", "new"))


def _slug(address: str) -> str:
    path, _, query = address.partition("?")
    words = path.removeprefix("/run/").strip("/").replace("/", "-")
    return f"{words}-{hashlib.sha256(query.encode()).hexdigest()[:8]}" if query else words
