"""``maestro-eval registry`` and the example of its documentation."""

import json
import re
from pathlib import Path

import pytest

from maestro_eval.cli.main import BAD_INPUT, DONE, main
from maestro_eval.registry import load_registry

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "registry.md").read_text()


@pytest.fixture
def mine(tmp_path):
    """The documented example, as a user would write it down."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "measure.j2").write_text("{{ request }} Give the unit.")
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENTED, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(example)
    return tmp_path / "mine.yaml"


def test_the_documented_example_loads_and_does_what_is_said_of_it(mine, capsys):
    assert main(["registry", "check", str(mine)]) == DONE
    assert capsys.readouterr().out.startswith(f"{mine}: ok: mine, 5 experts, 5 services, 7 skills, hash ")
    registry = load_registry(mine)
    assert registry.endpoints["glm"].url == "http://gpu-7:8000/v1"
    assert registry.skills["Gauge_Problem_Solver"].solvers["dial"].prompt == "{{ request }} Give the unit."


def test_show_names_every_entry_with_its_hash_and_ends_with_the_prompt(mine, capsys):
    assert main(["registry", "show", str(mine)]) == DONE
    shown = capsys.readouterr().out
    assert re.search(r"^expert +Gauge-Reader +[0-9a-f]{8}  gauge-reader-2b at https://models", shown, re.MULTILINE)
    assert re.search(r"^service +outline +[0-9a-f]{8}  gauge-detector \(boxes, required\) at", shown, re.MULTILINE)
    assert "pipeline dispatch; solvers: dial (default), digits; evidence: outline, ocr" in shown
    assert "- Gauge-Reader: Reads dials, gauges and thermometers." in shown.partition("--- system message ---")[2]


def test_show_prints_the_prompt_alone(mine, capsys):
    assert main(["registry", "show", "--prompt", str(mine)]) == DONE
    shown = capsys.readouterr()
    assert "Question: QUESTION\n" in shown.out
    assert "- Gauge-Reader: Reads dials, gauges and thermometers." in shown.out
    assert "Gauge-Reader  " not in shown.out
    assert shown.err == ""


def test_a_registry_that_waits_for_a_prompt_says_where_it_comes_from(capsys):
    for action in (["check"], ["show"], ["show", "--prompt"]):
        assert main(["registry", *action, "released"]) == DONE
        shown = capsys.readouterr()
        (line,) = [line for line in (shown.out + shown.err).splitlines() if line.startswith("released: the prompt is")]
        assert "registry import" in line


def test_a_folder_is_a_registry(mine, capsys):
    (mine.parent / "registry.yaml").write_text(mine.read_text())
    assert main(["registry", "check", str(mine.parent)]) == DONE
    assert capsys.readouterr().out.startswith(f"{mine.parent}/registry.yaml: ok: mine")
    assert main(["registry", "check", str(mine.parent / "prompts")]) == BAD_INPUT


def test_diff_prints_a_table_and_the_prompts_difference(mine, capsys):
    assert main(["registry", "diff", "base", str(mine)]) == DONE
    shown = capsys.readouterr().out
    assert re.search(r"^experts +medgemma-1.5-4b-it +removed", shown, re.MULTILINE)
    assert re.search(r"^skills +Ask_Plainly +added", shown, re.MULTILINE)
    assert re.search(r"^endpoints +glm +changed +url", shown, re.MULTILINE)
    assert "\n+- Gauge-Reader: Reads dials, gauges and thermometers.\n" in shown


def test_diff_shows_what_holds_for_all_entries(capsys):
    assert main(["registry", "diff", "base", "released"]) == DONE
    shown = capsys.readouterr().out
    assert re.search(r"^registry +image_encoding +changed +image_encoding: original -> jpeg", shown, re.MULTILINE)
    assert re.search(r"^registry +show_question +changed +show_question: True -> False", shown, re.MULTILINE)


def test_diff_prints_json_for_programs(mine, capsys):
    assert main(["registry", "diff", "base", str(mine), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"before", "after", "before_hash", "after_hash", "entries", "system"}
    states = {(entry["kind"], entry["name"]): entry["state"] for entry in found["entries"]}
    assert states["experts", "Gauge-Reader"] == "added"
    assert states["endpoints", "glm"] == "changed"


def test_diff_of_equal_registries_says_so(capsys):
    assert main(["registry", "diff", "base", "base"]) == DONE
    assert "No entry differs." in capsys.readouterr().out


def test_schema_prints_json_schema(capsys):
    assert main(["registry", "schema"]) == DONE
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"schema", "name", "extends", "experts", "skills"} <= set(schema["properties"])


def test_check_tells_an_unknown_pipeline_in_one_line(mine, capsys):
    mine.write_text(mine.read_text().replace("pipeline: direct", "pipeline: driect"))
    assert main(["registry", "check", str(mine)]) == BAD_INPUT
    message = capsys.readouterr().err
    assert re.match(rf"maestro-eval: {mine}:\d+: skills\.Ask_Plainly\.pipeline: pipeline 'driect': unknown", message)
    assert message.count("\n") == 1
