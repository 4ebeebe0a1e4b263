"""``maestro-eval report`` on runs of the real program."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from integration.conftest import command, environment, write_chartqa, write_registry

from maestro_eval.testing import simulated_in_thread

_BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``runs``, two of four questions each: the expert says what the third is about."""
    folder = tmp_path_factory.mktemp("home")
    samples = [{"question": f"What is value {number}?", "answer": str(number)} for number in range(4)]
    data = write_chartqa(folder / "d", samples)
    with simulated_in_thread(reply=lambda body: "Answer: 2") as server:
        registry = write_registry(folder / "r.yaml", server.url)
        for name, policy in (("asks", "fixed:oracle@@Ask"), ("is asked", "direct:oracle")):
            result = program(
                folder, "run", "--policy", policy, "--registry", registry, "--tasks", "maestro_chartqa", "--name", name,
                "--data", f"maestro_chartqa={data}", "--out", folder / "runs" / name.replace(" ", "-"), "--quiet",
            )  # fmt: skip
            assert result.returncode == 0, result.stderr
    return folder


def program(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``maestro-eval`` with these arguments, called in ``folder``."""
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )


class _Cells(HTMLParser):
    """The cells of every table row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def test_a_folder_of_runs_becomes_one_page(home: Path) -> None:
    result = program(home, "report", "runs")
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["report", "results"]
    page = (home / "runs" / "report.html").read_text()
    rows = _Cells(page).rows
    assert ["asks", "fixed:oracle@@Ask", "small", "1", "4", "1", "0", "4", "0"] in rows
    assert ["oracle@@Ask", "4 (100 %)", "4 (100 %)"] in rows
    assert ["expert: no expert asked supplied it", "3", "0"] in rows
    assert ["expert: answered wrong when asked directly", "0", "3"] in rows
    assert (home / "runs" / "figures" / "differences.svg").exists()


def test_a_run_alone_goes_into_its_own_folder_by_its_protocol(home: Path) -> None:
    result = program(home, "report", "runs/asks", "--protocol", "strict")
    assert result.returncode == 0, result.stderr
    assert (home / "runs" / "asks" / "report" / "strict" / "report.html").exists()


REPORTED = """
schema: 1
system: Their system
source: {citation: a paper, where: table 2, date: 2026-05}
values:
  maestro_chartqa: {value: 81.5, n: 2500, mark: P}
"""


def test_a_printed_price_table_can_be_filled_in_and_a_published_number_stands_beside(
    home: Path, tmp_path: Path
) -> None:
    printed = program(home, "prices", "runs")
    assert printed.returncode == 0, printed.stderr
    prices = tmp_path / "prices.yaml"
    prices.write_text(printed.stdout)
    out = tmp_path / "out"
    assert program(home, "report", "runs", "--prices", prices, "--out", out).returncode == 0
    assert "unknown, for want of a price of oracle" in (out / "report.md").read_text()
    prices.write_text(printed.stdout.replace(": null", ": {prompt_per_million: 1, completion_per_million: 1}", 1))
    reported = tmp_path / "paper.yaml"
    reported.write_text(REPORTED)
    filled = program(home, "report", "runs", "--prices", prices, "--out", out, "--reference", reported)
    assert filled.returncode == 0, filled.stderr
    assert "Their system (reported)" in (out / "report.md").read_text()
    assert "unknown" not in (out / "report.md").read_text().split("## Cost")[1].split("## ")[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["runs", "--baseline", "nobody"], "--baseline nobody: no such system; there are asks, is asked"),
        (["runs", "--swap", "runs/asks", "runs/is-asked"], "policy differs"),
    ],
)
def test_bad_input_is_one_line(home: Path, arguments: list[str], told: str) -> None:
    result = program(home, "report", *arguments)
    assert result.returncode == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(_BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_the_page_and_its_plots_without_a_complaint(home: Path, tmp_path: Path) -> None:
    assert program(home, "report", "runs").returncode == 0
    assert _BROWSER is not None
    shown = subprocess.run(
        [
            _BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'browser'}", "--enable-logging=stderr", "--window-size=1200,4000",
            f"--screenshot={tmp_path / 'page.png'}", f"file://{home / 'runs' / 'report.html'}",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in shown.stderr  # a blocked style or address would be told there
    from PIL import Image

    picture = Image.open(tmp_path / "page.png").convert("RGB")
    colours = {colour for _, colour in picture.getcolors(maxcolors=1 << 24)}
    assert (0x00, 0x72, 0xB2) in colours  # the plots' blue: inline SVG was drawn
