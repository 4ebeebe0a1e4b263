"""The viewer's pages as files that open from a disk or from any static host.

The pages are the server's own: beginning with the list of runs, its links are followed and written, and point to files.
A link to what is not written (a search, a combination of filters) becomes plain text, as do forms.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
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
"""So many rollouts of a run are written without a subset; beyond that somebody has to say so."""

_MOST_COMPARED = 8
_POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'"
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
_OF_A_ROLLOUT, _OF_A_PAIR = ("turns_page",), ("system", "rank", "other")
_DROPPED = frozenset({"form", "input", "select", "option", "label"})


class Written(Struct, frozen=True):
    """What was written: the page to begin with, how many pages, how many pictures."""

    index: Path
    pages: int
    pictures: int


def write_static(library: Library, pictures: Pictures, out: Path) -> Written:
    """Write all pages of ``library`` into the empty or new folder ``out``.

    UserError where ``out`` holds something, and for a run that is too large to be written whole.
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
    export = _Export(Site(library, pictures), out, list(_comparisons(runs)))
    export.write_all()
    return Written(out / "index.html", export.pages, export.pictures)


def _comparisons(runs: list[Known]) -> Iterator[tuple[str, str]]:
    """The pairs that are compared, each as a label and an address: the older run is the baseline."""
    systems = [run for run in reversed(runs) if not run.manifest.arms][:_MOST_COMPARED]
    for number, baseline in enumerate(systems):
        for system in systems[number + 1 :]:
            if {task.name for task in baseline.manifest.tasks} & {task.name for task in system.manifest.tasks}:
                yield f"{system.name} against {baseline.name}", f"/compare?run={baseline.id}&run={system.id}"


class _Export:
    """A walk over the pages: each address is written once."""

    def __init__(self, site: Site, out: Path, comparisons: list[tuple[str, str]]) -> None:
        self._site = site
        self._out = out
        self._comparisons = comparisons
        self._names: dict[str, str] = {}
        self._waiting: deque[str] = deque()
        self.pages = 0
        self.pictures = 0

    def write_all(self) -> None:
        self.file_of("/")
        while self._waiting:
            address = self._waiting.popleft()
            path, _, query = address.partition("?")
            answer = self._site.answer(path, query)
            while answer.status == 202:
                answer = self._site.answer(path, query)
            body = answer.body
            if answer.media_type == "text/html":
                rewriter = _Rewriter(self)
                rewriter.feed(body.decode())
                text = "".join(rewriter.parts)
                body = (self._with_comparisons(text) if address == "/" else text).encode()
            (self._out / self._names[address]).write_bytes(body)
            self.pages += 1

    def file_of(self, href: str) -> str | None:
        """The file of an address, to be written if it is not yet; ``None`` for one that is not to be."""
        split = urlsplit(href)
        path, query = split.path, split.query
        kind = path.rsplit("/", 2)[-1] if "/rollout/" not in path or path.endswith(("/text", "/raw")) else "rollout"
        if kind == "samples" and not _is_simple(query):
            return None
        if kind in ("rollout", "raw"):
            # The next rollout is the next of all; a file for every filter would be too many.
            kept = _OF_A_ROLLOUT if path.startswith("/run/") else _OF_A_PAIR
            query = "&".join(sorted(each for each in query.split("&") if each.partition("=")[0] in kept))
        address = f"{path}?{query}" if query else path
        if address not in self._names:
            ending = {"text": "txt", "raw": "json"}.get(kind, "html")
            self._names[address] = "index.html" if address == "/" else f"{_slug(address)}.{ending}"
            self._waiting.append(address)
        return self._names[address]

    def picture(self, path: str) -> str | None:
        """The file of a picture; ``None`` where it cannot be had."""
        if path not in self._names:
            self._names[path] = ""
            read = self._site.picture(path)
            answer = read() if read is not None else None
            if answer is not None and answer.status == 200:
                sha, small = path.rsplit("/", 1)[1], "/thumbnail/" in path
                name = f"{sha[:24]}{'-small' if small else ''}.{_ENDINGS[answer.media_type]}"
                (self._out / name).write_bytes(answer.body)
                self._names[path] = name
                self.pictures += 1
        return self._names[path] or None

    def _with_comparisons(self, page: str) -> str:
        items = "".join(
            f'<li><a href="{self.file_of(address)}">{escape(line(label))}</a></li>'
            for label, address in self._comparisons
        )
        section = f'<section><h2>Comparisons</h2><ul class="plain">{items}</ul></section>' if items else ""
        return page.replace("</main>", f"{section}</main>")


class _Rewriter(HTMLParser):
    """A page with its addresses turned into files and without what needs a server."""

    def __init__(self, export: _Export) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._export = export
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._skipping or (tag == "form" and "data-compare" not in given):
            self._skipping += tag == "form"
            return
        if (tag in _DROPPED and given.get("class") != "show-boxes") or (tag == "button" and "data-copy" not in given):
            return
        for name in ("href", "src"):
            if (address := given.get(name)) is not None:
                given[name] = self._file(address)
        given.pop("data-live", None)
        written = "".join(
            f" {name}" if value is None else f' {name}="{escape(value)}"'
            for name, value in given.items()
            if not (name in ("href", "src") and not value)
        )
        self.parts.append(f"<{tag}{written}>")
        if tag == "head":
            self.parts.append(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">')

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._skipping:
            self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._skipping -= tag == "form"
        elif tag not in _DROPPED and tag != "button":
            self.parts.append(f"</{tag}>")
        elif tag == "button" and self.parts[-1:] == ["Copy"]:
            self.parts.append("</button>")

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")

    def _file(self, address: str) -> str | None:
        if address.startswith("#"):
            return address
        if address.startswith("/assets/"):
            return address.removeprefix("/assets/")
        if "/picture/" in address or "/thumbnail/" in address:
            return self._export.picture(address)
        return self._export.file_of(address)


def _is_simple(query: str) -> bool:
    """Whether a table's filters are few enough to be written: one, or one that a comparison leads to."""
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
