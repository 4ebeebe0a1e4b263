from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from view_worlds import AUGMENTED, manifest_of, rollout_of, samples_of, two_systems, write_run

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import Failed, RolloutKey
from maestro_eval.scoring import score_run
from maestro_eval.view.index import build_index, index_path, open_index, refresh_index
from maestro_eval.view.library import Library, Waiting, run_folders
from maestro_eval.view.source import stamp_of


def test_every_planned_key_is_found_by_its_rank(world: Path) -> None:
    folder = world / AUGMENTED
    build_index(folder)
    index = open_index(folder)
    assert index is not None
    with Journal.open(folder, read_only=True) as journal:
        for key in journal.plan():
            rank = index.rank_of(key.task, key.sample_id, key.repeat)
            assert rank is not None
            assert index.lines([rank])[0].sample_id == key.sample_id
    assert index.rank_of("none", "0", 0) is None
    index.close()


def test_looking_changes_nothing_of_the_journal(tmp_path: Path) -> None:
    folder = two_systems(tmp_path) / AUGMENTED
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    build_index(folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {name: data for name, data in after.items() if name in ("journal.db", "manifest.json")} == {
        name: data for name, data in before.items() if name in ("journal.db", "manifest.json")
    }


def test_a_run_that_goes_on_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its index is made anew at every look.
    monkeypatch.setattr(Library, "_built_lately", lambda library, run: False)
    record, samples = samples_of(tmp_path / "data")
    plan = [RolloutKey(sample.task, sample.sample_id) for sample in samples]
    library = Library([tmp_path], patience=20)
    with Journal.create(tmp_path / "run", manifest_of("live", [record]), plan) as journal:
        for number, sample in enumerate(samples[:3], start=1):
            journal.commit([Finished(rollout_of(sample, sample.targets[0]), sample)])
            library.begin_page()
            (run,) = library.runs()
            frame = library.index(run).frame
            assert int((frame["outcome"] == 1).sum()) == number
            assert library.is_live(run, library.counts(run))
    library.close()


def test_while_new_numbers_take_their_time_the_last_ones_are_shown(tmp_path: Path) -> None:
    record, samples = samples_of(tmp_path / "data")
    plan = [RolloutKey(sample.task, sample.sample_id) for sample in samples]
    library = Library([tmp_path], patience=20)
    with Journal.create(tmp_path / "run", manifest_of("live", [record]), plan) as journal:
        (run,) = library.runs()
        library.begin_page()
        first = library.comparison([run], "official")
        journal.commit([Finished(rollout_of(samples[0], samples[0].targets[0]), samples[0])])
        library.begin_page(patience=0)
        assert library.comparison([run], "official") == first
        with pytest.raises(Waiting):
            library.comparison([run], "fair")
        library.begin_page()
        assert library.comparison([run], "official") != first
    library.close()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    folder = two_systems(tmp_path) / AUGMENTED
    folder.chmod(0o500)
    try:
        build_index(folder)
        assert folder not in index_path(folder).parents
        assert open_index(folder) is not None
    finally:
        folder.chmod(0o700)


def test_new_attempts_are_added_and_the_rest_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, samples = samples_of(tmp_path / "data")
    plan = [RolloutKey(sample.task, sample.sample_id) for sample in samples]
    folder = tmp_path / "run"
    with Journal.create(folder, manifest_of("live", [record]), plan) as journal:
        failed = replace(rollout_of(samples[0], "1"), outcome=Failed("harness", "broke"))
        journal.commit([Finished(failed, samples[0])])
        build_index(folder)
        monkeypatch.setattr("maestro_eval.view.index.build_index", None)
        journal.commit([Finished(rollout_of(sample, "zebra"), sample) for sample in samples[:2]])
        refresh_index(folder)
    index = open_index(folder)
    assert index is not None
    assert sorted(index.frame["outcome"].tolist()) == [0, 0, 0, 0, 1, 1]
    ranks = [index.rank_of(key.task, key.sample_id, 0) for key in plan]
    assert [line.answer for line in index.lines(ranks[:3])] == ["zebra", "zebra", ""]
    assert index.documents("answer: zebra").tolist() == sorted(index.frame["document"][ranks[:2]].tolist())
    index.close()


def test_an_index_is_made_anew_once_the_run_was_scored(tmp_path: Path) -> None:
    folder = two_systems(tmp_path) / AUGMENTED
    build_index(folder)
    score_run(folder)
    refresh_index(folder)
    index = open_index(folder)
    assert index is not None
    assert index.meta("scores") == "24"
    assert index.stamp == stamp_of(folder)


def test_an_index_of_another_version_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = two_systems(tmp_path) / AUGMENTED
    build_index(folder)
    monkeypatch.setattr("maestro_eval.view.index.VERSION", 999)
    assert open_index(folder) is None


def test_run_folders_are_found_where_they_lie_and_links_are_not_followed(tmp_path: Path) -> None:
    record, samples = samples_of(tmp_path / "data")
    done = [Finished(rollout_of(samples[0], "1"), samples[0])]
    inside = write_run(tmp_path / "a" / "b" / "run", manifest_of("x", [record]), done)
    (tmp_path / "link").symlink_to(inside)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text("{}")
    assert list(run_folders(tmp_path)) == [inside.resolve()]


def test_the_stamp_changes_with_the_journal(tmp_path: Path) -> None:
    record, samples = samples_of(tmp_path / "data")
    plan = [RolloutKey(sample.task, sample.sample_id) for sample in samples]
    with Journal.create(tmp_path / "run", manifest_of("x", [record]), plan) as journal:
        before = stamp_of(tmp_path / "run")
        journal.commit([Finished(replace(rollout_of(samples[0], "1")), samples[0])])
        assert stamp_of(tmp_path / "run") != before
