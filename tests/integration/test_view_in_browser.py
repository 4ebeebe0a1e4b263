"""The viewer in a real browser: every page, keyboard, a run that goes on, hostile texts, files, accessibility.

Screenshots of every page go to the folder that MAESTRO_SCREENSHOTS names, if it names one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from view_worlds import AUGMENTED, BASE, EXPLORE, hostile_run, manifest_of, rollout_of, samples_of, two_systems

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import RolloutKey
from maestro_eval.view import Library, Pictures, Server, Site, write_static

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

_PATIENCE_MS = 1000 * PATIENCE_S
_SCREENSHOTS = os.environ.get("MAESTRO_SCREENSHOTS", "")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a viewer over ``folder``, with its token."""
    address: Future[str] = Future()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        server = Server(lambda: Site(Library([folder], patience=30), Pictures()))
        try:
            address.set_result(await server.start())
            await ending.wait()
        finally:
            await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield address.result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


class Tab:
    """A page of a browser that was let in, and what went wrong in it."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.base = address.partition("/?")[0]
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(self.base) or self.elsewhere.append(request.url))
        page.goto(address)

    def open(self, path: str) -> Any:
        self.page.goto(self.base + path)
        return self.page

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox does not start as root, which is what containers are.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=_PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_systems(tmp_path_factory.mktemp("browsed"))


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def ids(folder: Path) -> dict[str, str]:
    library = Library([folder])
    found = {run.name: run.id for run in library.runs()}
    library.close()
    return found


def new_context(browser: Any, **options: Any) -> Any:
    context = browser.new_context(**options)
    context.set_default_timeout(_PATIENCE_MS)
    return context


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    context = new_context(browser, viewport={"width": 1400, "height": 1000})
    tab = Tab(context.new_page(), address)
    yield tab
    assert tab.complaints == []
    assert tab.elsewhere == []
    context.close()


def pages(ids: dict[str, str]) -> dict[str, str]:
    system, base = ids[AUGMENTED], ids[BASE]
    return {
        "runs": "/",
        "run": f"/run/{system}",
        "explore": f"/run/{ids[EXPLORE]}",
        "samples": f"/run/{system}/samples?verdict=right",
        "rollout": f"/run/{system}/rollout/1",
        "compare": f"/compare?run={base}&run={system}",
        "side-by-side": f"/compare/rollout?system={system}&rank=1&other={base}",
        "registry": f"/run/{system}/registry?other={base}",
    }


def test_every_page_is_usable_by_all(tab: Tab, ids: dict[str, str]) -> None:
    """No serious finding of axe in light or dark; nothing is wider than a telephone or lost on a wall."""
    for name, path in pages(ids).items():
        page = tab.open(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = axe.Axe().run(page).response["violations"]
            serious = [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] != "minor"]
            assert serious == [], (name, scheme)
        for width in (400, 1400, 2560):
            page.set_viewport_size({"width": width, "height": 1000})
            assert tab.overflow() <= 0, (name, width)
            if _SCREENSHOTS:
                page.screenshot(path=f"{_SCREENSHOTS}/{name}-{width}.png", full_page=True)


def test_runs_are_chosen_and_compared(tab: Tab, ids: dict[str, str]) -> None:
    page = tab.open("/")
    button = page.get_by_role("button", name="Compare the chosen")
    assert button.is_disabled()
    page.get_by_label(f"compare {BASE}").check()
    page.get_by_label(f"compare {AUGMENTED}").check()
    button.click()
    page.wait_for_url("**/compare?**")
    assert page.locator("h1").inner_text() == f"{AUGMENTED} against {BASE}"
    page.locator("a.c-gained").first.click()
    page.wait_for_url("**/samples?**change=gained**")
    assert page.locator("h1").inner_text().startswith("1 of 6")


def test_a_filter_is_an_address(tab: Tab, ids: dict[str, str]) -> None:
    page = tab.open(f"/run/{ids[BASE]}/samples")
    page.get_by_role("complementary").get_by_role("link", name="wrong").click()
    page.wait_for_url("**verdict=wrong**")
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("complementary").get_by_role("link", name="wrong").click()
    page.wait_for_url(lambda url: "verdict" not in url)
    page.locator("[data-search]").fill("how many")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=how**")
    shared = page.url
    count = page.locator("h1").inner_text()
    page.goto(shared)
    assert page.locator("h1").inner_text() == count


def test_the_keyboard_goes_through_a_filter(tab: Tab, ids: dict[str, str]) -> None:
    page = tab.open(f"/run/{ids[BASE]}/samples?verdict=right")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rollout/**verdict=right")
    first = page.url
    assert "1 of 3" in page.locator(".around").inner_text()
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('.around').innerText.includes('2 of 3')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(first)
    page.keyboard.press("u")
    page.wait_for_url("**/samples?verdict=right")
    page.keyboard.press("/")
    page.keyboard.type("j")
    assert page.locator("[data-search]").input_value() == "j"


def test_a_picture_is_shown_with_its_boxes_and_at_its_own_size(tab: Tab, ids: dict[str, str]) -> None:
    page = tab.open(f"/run/{ids[AUGMENTED]}/rollout/1")
    image = page.locator(".canvas img")
    page.wait_for_function("document.querySelector('.canvas img').naturalWidth > 0")
    boxes = page.locator(".canvas svg")
    assert boxes.is_visible()
    page.locator(".show-boxes").uncheck()
    assert boxes.is_hidden()
    image.click()
    assert "large" in (page.locator(".frame").get_attribute("class") or "")
    page.get_by_text("Replay from here with another call").click()
    assert "maestro-eval replay" in page.get_by_label("replay command").inner_text()


def test_it_reads_without_scripts(browser: Any, address: str, ids: dict[str, str]) -> None:
    context = new_context(browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    for path in pages(ids).values():
        page.goto(address.partition("/?")[0] + path)
        assert page.locator("h1").is_visible()
    context.close()


def test_without_the_token_there_is_nothing(browser: Any, address: str) -> None:
    context = new_context(browser)
    page = context.new_page()
    assert page.goto(address.partition("?")[0]).status == 403
    context.close()


def test_a_run_that_goes_on_is_followed(browser: Any, tmp_path: Path) -> None:
    record, samples = samples_of(tmp_path / "data")
    plan = [RolloutKey(sample.task, sample.sample_id) for sample in samples]
    with Journal.create(tmp_path / "run", manifest_of("live", [record]), plan) as journal, served(tmp_path) as address:
        journal.commit([Finished(rollout_of(samples[0], "1"), samples[0])])
        context = new_context(browser)
        tab = Tab(context.new_page(), address)
        tab.page.get_by_text("1 of 6").wait_for()
        assert tab.page.locator(".live").is_visible()
        journal.commit([Finished(rollout_of(sample, "1"), sample) for sample in samples[1:4]])
        tab.page.get_by_text("4 of 6").wait_for()
        context.close()


def test_hostile_texts_run_nothing_and_break_nothing(browser: Any, tmp_path: Path) -> None:
    """Every page of a run with markup in every field, 10 MB of observation, a thousand turns."""
    hostile_run(tmp_path)
    library = Library([tmp_path])
    base = f"/run/{library.runs()[0].id}"
    library.close()
    paths = ["/", base, f"{base}/samples", f"{base}/registry", *(f"{base}/rollout/{rank}" for rank in range(3))]
    paths += [f"{base}/rollout/1?turns_page=20", f"{base}/samples?q=%3Cscript%3E&cause=%22%3E%3Cimg%20onerror%3Dx%3E"]
    paths += [f"{base}/rollout/0/text?part=turns.0.calls.0.reply", f"{base}/rollout/0/raw"]
    with served(tmp_path) as address:
        context = new_context(browser, viewport={"width": 1400, "height": 1000})
        tab = Tab(context.new_page(), address)
        for path in paths:
            page = tab.open(path)
            for closed in page.locator("details:not([open]) > summary").all()[:12]:
                if closed.is_visible():
                    closed.click()
            assert page.evaluate("window.hacked") is None, path
            for width in (400, 1400):
                page.set_viewport_size({"width": width, "height": 1000})
                assert path.endswith(("raw", "reply")) or tab.overflow() <= 0, (path, width)
        # A picture whose data is gone is a 404, which the console tells too.
        assert [said for said in tab.complaints if "404" not in said] == []
        assert tab.elsewhere == []
        context.close()


def test_files_open_from_a_disk(browser: Any, folder: Path, tmp_path: Path) -> None:
    library = Library([folder / BASE, folder / AUGMENTED])
    written = write_static(library, Pictures(), tmp_path / "out")
    library.close()
    context = new_context(browser)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
    page.goto(written.index.as_uri())
    page.get_by_role("link", name=AUGMENTED, exact=True).click()
    page.get_by_role("link", name="All samples").click()
    page.locator("tbody th a").first.click()
    page.wait_for_function("document.querySelector('.canvas img').naturalWidth > 0")
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('.around').innerText.includes('2 of 6')")
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") == "10px"
    assert complaints == []
    context.close()
