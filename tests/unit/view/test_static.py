from __future__ import annotations

import re
from pathlib import Path

import pytest
from view_worlds import AUGMENTED, BASE, hostile_run, two_systems

from maestro_eval.cli.main import main
from maestro_eval.records import UserError
from maestro_eval.view import Library, Pictures, write_static
from maestro_eval.view.comparing import select
from maestro_eval.view.filters import Filters


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("static")
    world = two_systems(root / "runs")
    library = Library([world / BASE, world / AUGMENTED], patience=20, subset=3)
    write_static(library, Pictures(), root / "out")
    library.close()
    return root / "out"


def test_every_link_leads_to_a_file_beside_it(written: Path) -> None:
    for page in written.glob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#][^"]*)"', page.read_text()):
            assert "/" not in link, (page.name, link)
            assert (written / link).is_file(), (page.name, link)


def test_a_page_needs_no_server(written: Path) -> None:
    index = (written / "index.html").read_text()
    assert "<form" not in index
    assert "<input" not in index
    assert "default-src &#x27;none&#x27;" in index or "default-src 'none'" in index
    assert f"{AUGMENTED} against {BASE}" in index
    assert all("Rollouts of 3 samples of each run are here." in page.read_text() for page in written.glob("*.html"))


def test_a_subset_is_the_same_samples_in_every_run(world: Path) -> None:
    library = Library([world], patience=20, subset=2)
    library.begin_page()
    runs = {run.name: run for run in library.runs()}
    chosen = []
    for name in (BASE, AUGMENTED):
        ranks = [int(rank) for rank in select(library, runs[name], Filters()).ordered]
        chosen.append({line.sample_id for line in library.index(runs[name]).lines(ranks)})
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 2
    library.close()


def test_hostile_texts_stay_texts_in_files(tmp_path: Path) -> None:
    library = Library([hostile_run(tmp_path / "runs", many=3, observation=10_000)], patience=20)
    write_static(library, Pictures(), tmp_path / "out")
    for page in (tmp_path / "out").glob("*.html"):
        text = page.read_text()
        assert text.count("<script") == 1
        assert "onerror='" not in re.sub(r"&lt;.*?&gt;", "", text)
    library.close()


def test_pictures_that_cannot_be_read_are_printed_with_the_reason(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_eval.view.pictures.list_tasks", lambda _: [])
    assert main(["view", str(world / BASE), "--static", str(tmp_path / "out"), "--subset", "2"]) == 0
    assert re.search(
        r"with 0 pictures \(not all could be read: maestro_\w+: no task file has this name; name its folder with "
        r"--include-path[);]",
        capsys.readouterr().out,
    )


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, world: Path) -> None:
    (tmp_path / "mine").write_text("x")
    library = Library([world], patience=20)
    with pytest.raises(UserError, match="is not empty"):
        write_static(library, Pictures(), tmp_path)
    library.close()


def test_a_large_run_asks_for_a_subset(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_eval.view.static.MOST", 5)
    library = Library([world], patience=20)
    with pytest.raises(UserError, match="--subset N"):
        write_static(library, Pictures(), tmp_path / "out")
    library.close()
