"""Two runs in one table, in every form, beside published numbers; and whether they reproduce them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest
from integration.conftest import write_chartqa, write_registry

from maestro_eval.cli.main import main
from maestro_eval.files import bundled
from maestro_eval.report import results_schema
from maestro_eval.testing import simulated_in_thread

N = 12


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``runs/good`` answers everything, ``runs/poor`` nothing, ``runs/other`` was asked about other pictures."""
    root = tmp_path_factory.mktemp("compared")
    samples = [{"question": f"What is value {number}?", "answer": "4"} for number in range(N)]
    data = write_chartqa(root / "d", samples)
    moved = write_chartqa(root / "e", [{**sample, "answer": "5"} for sample in samples])
    for name, reply, rows in (("good", "4", data), ("poor", "7", data), ("other", "4", moved)):
        with simulated_in_thread(reply=lambda body, reply=reply: f"Answer: {reply}") as server:
            registry = write_registry(root / f"{name}.yaml", server.url, name=name)
            arguments: list[str | Path] = ["--policy", "direct:oracle", "--registry", registry, "--name", name]
            arguments += ["--tasks", "maestro_chartqa", "--data", f"maestro_chartqa={rows}"]
            code = main(["run", *map(str, arguments), "--out", str(root / "runs" / name), "--quiet"])
            assert code == 0
    return root / "runs"


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "schema: 1\nsystem: S-1\nsource: {citation: somebody, where: table 2}\nprotocol: strict\n"
        "values: {maestro_chartqa: {value: 50, mark: P}}\n"
    )
    return path


@pytest.fixture(scope="module")
def twins(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one policy and one registry, of which only the seed differs."""
    root = tmp_path_factory.mktemp("twins")
    with simulated_in_thread(reply=lambda body: "Answer: 4") as server:
        registry = write_registry(root / "r.yaml", server.url, name="mine")
        for seed in ("0", "7"):
            arguments = ["--policy", "direct:oracle", "--registry", str(registry), "--seed", seed, "--quiet"]
            arguments += ["--tasks", "maestro_chartqa", "--data", f"maestro_chartqa={runs.parent / 'd'}"]
            assert main(["run", *arguments, "--out", str(root / f"seed-{seed}")]) == 0
    return root


class TestNames:
    def test_two_runs_of_one_name_are_compared_and_reported(
        self, twins: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert main(["compare", str(twins), "--out", str(tmp_path)]) == 0
        results = json.loads((tmp_path / "results.json").read_text())
        names = [system["name"] for system in results["systems"]]
        assert names == ["direct:oracle · mine (seed 0)", "direct:oracle · mine (seed 7)"]
        assert main(["report", str(twins), "--out", str(tmp_path), "--baseline", names[1]]) == 0
        assert names[0] in (tmp_path / "report.html").read_text()
        assert main(["swap", *(str(twins / f"seed-{n}") for n in "07"), "--out", str(tmp_path)]) in (0, 2)

    def test_a_run_is_called_as_its_user_wants(
        self, twins: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        given = [f"first={twins / 'seed-0'}", f"second={twins / 'seed-7'}"]
        arguments = ["--baseline", "second", "--group", "mine=chartqa", "--out", str(tmp_path)]
        assert main(["compare", *given, *arguments]) == 0
        results = json.loads((tmp_path / "results.json").read_text())
        assert [system["name"] for system in results["systems"]] == ["first", "second"]
        assert results["systems"][0]["means"]["mine"]["value"] == 1
        assert {(each["system"], each["baseline"]) for each in results["contrasts"]} == {("first", "second")}
        assert main(["report", *given, "--group", "mine=chartqa", "--out", str(tmp_path)]) == 0
        capsys.readouterr()
        assert main(["compare", given[0], f"first={twins / 'seed-7'}"]) == 2
        assert "first is given twice" in capsys.readouterr().err
        assert main(["compare", f"both={twins}"]) == 2
        assert "expected NAME=RUN with one run folder" in capsys.readouterr().err


class TestCompare:
    def test_a_name_that_would_steer_the_terminal_is_made_harmless_everywhere(
        self, runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        name = "red\x1b[31m\u202e"
        with simulated_in_thread(reply=lambda body: "Answer: 4") as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            arguments = ["--policy", "direct:oracle", "--registry", str(registry), "--name", name, "--quiet"]
            arguments += ["--tasks", "maestro_chartqa", "--data", f"maestro_chartqa={runs.parent / 'd'}"]
            arguments += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "red")]
            arguments += ["--stop-when", "decided", "--against", str(runs / "poor")]
            assert main(["run", *arguments]) == 0
        assert main(["compare", str(tmp_path / "red"), str(runs / "poor"), "--out", str(tmp_path / "o")]) == 0
        assert main(["compare", str(tmp_path / "red"), str(runs / "other")]) == 2
        assert main(["compare", str(tmp_path / "red"), "--baseline", name + "!"]) == 2
        shown = "".join(capsys.readouterr())
        assert "red�[31m�" in shown
        assert "decided  maestro_chartqa: better than poor" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown

    def test_each_form_is_printed_alone_and_nothing_is_written(
        self, runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        before = set(runs.parent.iterdir())
        out = {}
        for form in ("terminal", "markdown", "latex", "csv", "json", "html"):
            assert main(["compare", str(runs / "good"), str(runs / "poor"), "--format", form]) == 0
            out[form] = capsys.readouterr().out
        assert "poor against good" in out["terminal"]
        assert out["markdown"].startswith("# maestro-eval: 2 systems\n")
        assert out["latex"].startswith("% By maestro-eval")
        assert r"\toprule" in out["latex"]
        rows = list(csv.DictReader(io.StringIO(out["csv"])))
        (difference,) = [row for row in rows if row["statistic"] == "difference"]
        assert (difference["system"], difference["against"], difference["verdict"]) == ("poor", "good", "worse")
        results = json.loads(out["json"])
        jsonschema.validate(results, results_schema())
        assert results["contrasts"][0]["p_adjusted"] == pytest.approx(0.5**N, rel=1e-3)
        assert (results["adjust"], results["family"]) == ("holm", "system")
        assert out["html"].startswith("<!doctype html>")
        assert set(runs.parent.iterdir()) == before

    def test_all_forms_are_written_where_they_are_wanted(
        self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["compare", str(runs / "good"), str(runs / "poor"), "--out", str(tmp_path / "o")]) == 0
        names = {"results.json", "compare.html", "compare.md", "table.svg", "tables.tex", "tables.csv"}
        assert {path.name for path in (tmp_path / "o").iterdir()} == names
        shown = capsys.readouterr().out
        assert all(str(tmp_path / "o" / name) in shown for name in ("results.json", "compare.html"))

    def test_a_published_number_is_a_row_that_is_paired_with_nothing(
        self, runs: Path, reference: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["compare", str(runs / "good"), str(runs / "poor"), "--reference", str(reference)]
        assert main([*arguments, "--format", "json"]) == 0
        results = json.loads(capsys.readouterr().out)
        assert [system["name"] for system in results["systems"]] == ["good", "poor"]
        assert [(entry["system"], entry["verdict"]) for entry in results["reported"]] == [
            ("good", "better"),
            ("poor", "worse"),
        ]
        assert main([*arguments, "--format", "terminal"]) == 0
        assert "S-1 (reported)" in capsys.readouterr().out

    def test_what_is_not_the_same_is_not_paired(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", str(runs / "good"), str(runs / "other"), "--format", "csv"]) == 2
        error = capsys.readouterr().err
        assert "content_hash differs between good and other" in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--reference", "maestro4b"], "did you mean 'maestro-4b'"),
            (["--baseline", "nobody"], "no such system; there are good, poor"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(
        self, runs: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["compare", str(runs / "good"), str(runs / "poor"), *arguments]) == 2
        assert complaint in capsys.readouterr().err


class TestRuns:
    def test_runs_are_listed_with_their_progress(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["runs", str(runs)]) == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in ("good", "poor", "other", f"{N} of {N}"))
        assert main(["runs", str(runs), "--json"]) == 0
        listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
        assert set(listed) == {"good", "poor", "other"}
        good = listed["good"]
        assert (good["planned"], good["done"], good["failed"], good["going_on"]) == (N, N, 0, False)
        # A single task has no mean.
        assert good["means"] == {"maestro_chartqa": 1.0}
        assert (good["registry"], Path(good["folder"])) == ("good", (runs / "good").resolve())
        assert main(["runs", str(runs / "nowhere")]) == 2

    def test_a_groups_mean_is_shown_with_a_report_or_without(
        self, runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        tasks = tmp_path / "tasks"
        shutil.copytree(bundled("tasks"), tasks, ignore=shutil.ignore_patterns("maestro_*.yaml"))
        (chartqa,) = bundled("tasks").rglob("maestro_chartqa.yaml")
        written = re.sub(r"(?m)^tag: .*$", "tag: mine", chartqa.read_text())
        for name in ("one", "two"):
            (tasks / f"{name}.yaml").write_text(re.sub(r"(?m)^task: .*$", f"task: {name}", written))
        with simulated_in_thread(reply=lambda body: "Answer: 4") as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            arguments = ["--policy", "direct:oracle", "--registry", str(registry), "--quiet", "--tasks", "one,two"]
            arguments += ["--data", f"one={runs.parent / 'd'}", "--data", f"two={runs.parent / 'e'}"]
            assert main(["run", *arguments, "--include_path", str(tasks), "--output_path", str(tmp_path / "run")]) == 0
        capsys.readouterr()
        assert main(["score", str(tmp_path / "run"), "--json"]) == 0
        (system,) = json.loads(capsys.readouterr().out)["systems"]
        assert system["means"]["mine"]["value"] == 0.5
        assert main(["runs", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["means"] == {"mine": 0.5}
        # However new the files are, which a copy changes.
        (tmp_path / "run" / "journal.db").touch()
        assert main(["runs", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["means"] == {"mine": 0.5}
        # A run that went on after its report: its journal has a later attempt.
        with closing(sqlite3.connect(tmp_path / "run" / "journal.db")) as journal, journal:
            for table in ("attempts", "transcripts", "scores"):
                journal.execute(f"UPDATE {table} SET attempt = 999 WHERE attempt = 1")
        os.utime(tmp_path / "run" / "report" / "results.json")
        assert main(["runs", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["means"] == {"mine": 0.5}
        shutil.rmtree(tmp_path / "run" / "report")
        assert main(["runs", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["means"] == {"mine": 0.5}


class TestReproduce:
    def test_answers_for_each_run_and_always_ends_well(
        self, runs: Path, reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["reproduce", str(runs / "good"), str(runs / "poor"), "--against", str(reference)]
        assert main([*arguments, "--out", str(tmp_path / "o")]) == 0
        shown = capsys.readouterr().out
        assert "good against S-1 (reported)" in shown
        assert "differs" in shown
        # The protocol behind the published numbers, unless another is asked for.
        assert "protocol strict" in shown
        written = json.loads((tmp_path / "o" / "reproduce.json").read_text())
        assert [run["system"] for run in written["runs"]] == ["good", "poor"]
        row = next(row for row in written["runs"][0]["rows"] if row["scope"] == "maestro_chartqa")
        assert (row["verdict"], row["published"]["value"]) == ("differs", 0.5)
        assert "# Reproduction" in (tmp_path / "o" / "reproduce.md").read_text()

    def test_says_so_where_nothing_is_published(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["reproduce", str(runs / "good"), "--against", "maestro-4b", "--format", "json"]) == 0
        (run,) = json.loads(capsys.readouterr().out)["runs"]
        verdicts = {row["scope"]: row["verdict"] for row in run["rows"]}
        assert verdicts["maestro_chartqa"] == "no published value"
        assert verdicts["main"] == verdicts["ood"] == "not given"

    def test_markdown_is_printed_alone(self, runs: Path, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["reproduce", str(runs / "poor"), "--against", str(reference), "--format", "markdown"]) == 0
        assert capsys.readouterr().out.startswith("# Reproduction\n")

    def test_what_is_no_run_or_no_reference_is_refused(
        self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["reproduce", str(tmp_path), "--against", "maestro-4b"]) == 2
        assert "neither a run folder" in capsys.readouterr().err
        assert main(["reproduce", str(runs / "good"), "--against", "gtp-5"]) == 2
        assert "did you mean 'gpt-5'" in capsys.readouterr().err
