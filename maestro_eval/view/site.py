"""Maps addresses to answers, without a network; the server and the static export both use it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from msgspec import Struct

from maestro_eval.records import ExpertCall, MaestroError
from maestro_eval.view import compare_page, pages, registry_page, rollout_page
from maestro_eval.view.answers import Answer, Ask, NotFound
from maestro_eval.view.html import HERE, environment, render
from maestro_eval.view.library import Library, Waiting
from maestro_eval.view.pictures import Pictures

_RUN = r"/run/(?P<run>[a-z0-9-]{1,80})"
_ROLLOUT = rf"{_RUN}/rollout/(?P<rank>\d{{1,9}})"
_SHA = r"(?P<sha>[0-9a-f]{64})"

Page = Callable[[Library, Ask], Answer]


class Route(Struct, frozen=True):
    pattern: re.Pattern[str]
    page: Page


_ROUTES = tuple(
    Route(re.compile(pattern), page)
    for pattern, page in (
        (r"/", pages.runs),
        (_RUN, pages.run),
        (rf"{_RUN}/samples", pages.samples),
        (rf"{_RUN}/registry", registry_page.registry),
        (_ROLLOUT, rollout_page.rollout),
        (rf"{_ROLLOUT}/text", rollout_page.text),
        (rf"{_ROLLOUT}/raw", rollout_page.raw),
        (r"/compare", compare_page.compare),
        (r"/compare/rollout", compare_page.side_by_side),
    )
)
_PICTURE = re.compile(rf"{_ROLLOUT}/(?P<kind>picture|thumbnail)/{_SHA}")
_ASSETS = {
    "/assets/style.css": ("style.css", "text/css"),
    "/assets/view.js": ("view.js", "text/javascript"),
    "/assets/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Site:
    """All pages of a library. Call its methods in the library's thread; a picture's reader may run in any."""

    def __init__(self, library: Library, pictures: Pictures) -> None:
        self._library = library
        self._pictures = pictures
        environment()

    def answer(self, path: str, query: str) -> Answer:
        """Return the page of an address; a bad address or a damaged run folder gives an error page."""
        self._library.begin_page()
        try:
            for route in _ROUTES:
                if found := route.pattern.fullmatch(path):
                    return route.page(self._library, Ask(path, found.groupdict(), _parsed(query)))
            raise NotFound("no such page")
        except NotFound as error:
            return _message(404, "Not found", str(error))
        except Waiting as waiting:
            address = f"{path}?{query}" if query else path
            return render("waiting.html", status=202, headers={"Refresh": "1"}, waiting=waiting, address=address)
        except MaestroError as error:
            return _message(500, "This cannot be shown", str(error))

    def picture(self, path: str) -> Callable[[], Answer] | None:
        """Return a function that reads the picture of an address, for another thread; ``None`` for other addresses."""
        found = _PICTURE.fullmatch(path)
        if found is None:
            return None
        try:
            known, rank, sha = self._library.get(found["run"]), int(found["rank"]), found["sha"]
            sample = self._library.source(known).sample(self._library.key_at(known, rank))
            calls: tuple[ExpertCall, ...] = ()
            if sample and all(ref.sha256 != sha for ref in sample.images):
                rollout = self._library.entry_at(known, rank).rollout
                calls = rollout.calls if rollout else ()
        except (NotFound, MaestroError, Waiting):
            return lambda: Answer(404, b"", "text/plain")

        def read() -> Answer:
            picture = sample and self._pictures.get(
                known.manifest, sample, sha, calls, small=found["kind"] == "thumbnail"
            )
            if not picture:
                return Answer(404, b"", "text/plain")
            return Answer(200, picture.data, picture.media_type, {"Cache-Control": "private, max-age=86400, immutable"})

        return read

    def close(self) -> None:
        self._library.close()

    def asset(self, path: str) -> Answer | None:
        """Return a bundled style, script or icon."""
        if path not in _ASSETS:
            return None
        name, media_type = _ASSETS[path]
        return Answer(200, (HERE / "assets" / name).read_bytes(), media_type)


def _parsed(query: str) -> Mapping[str, list[str]]:
    return parse_qs(query, max_num_fields=200, errors="replace")


def _message(status: int, title: str, text: str) -> Answer:
    return render("message.html", status=status, title=title, text=text)
