"""Headroom and choices in words and numbers."""

from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.analysis.explore_runs import explore_run, registry_record

from maestro_eval.analysis.oracle import headroom, regret_of
from maestro_eval.analysis.scored_run import read_explored
from maestro_eval.records import Candidate
from maestro_eval.report import Document, Table, render_markdown, render_terminal
from maestro_eval.report.differences import headroom_sections, replay_document

TASK = task_record("maestro_mini_a")
EXPLORED = read_explored(explore_run([(TASK, [[1.0] * 10, *([[0.0] * 10] * 4), [1.0] * 5 + [0.0] * 5])]))


def orchestrator(values):
    run = run_scores("mine <b>", [(TASK, scores_of(TASK, values))])
    return replace(run, manifest=replace(run.manifest, registry=registry_record()))


def tables_of(headrooms, explored, groups=None) -> list[Table]:
    (section,) = headroom_sections(headrooms, explored, groups or {})
    return [block for block in section.blocks if isinstance(block, Table)]


def test_headroom_says_which_gain_and_which_gap():
    found = headroom(orchestrator([1.0] * 9 + [0.0]), [EXPLORED])
    table = tables_of([found], [EXPLORED])[0]
    assert table.title == "Headroom of mine <b>, with 6 choices in its registry"
    assert [column.title for column in table.columns] == [
        "gain over random",
        "gain over the best single model",
        "gain over the best model per benchmark",
        "gap to the best pair per benchmark",
        "gap to the best pair per sample",
    ]
    assert [cell.value for cell in table.rows[0].cells] == ["+65.0", "+40.0", "+40.0", "−10.0", "−10.0"]
    assert table.rows[0].name == "a (mini)"
    document = Document("", (), tuple(headroom_sections([found], [EXPLORED], {})))
    text = render_terminal(document, 120)
    assert "+65.0" in text
    assert "which flatters" in text
    assert "mine &lt;b&gt;" in render_markdown(document)


def test_the_choice_is_told_with_what_it_seems_and_what_it_is_worth():
    pairs, singles = tables_of([], [EXPLORED])
    assert [cell.value for cell in pairs.rows[0].cells] == ["a@@S", "100.0", "100.0", "100 %"]
    assert pairs.title == "Best pair per benchmark, of 4 of small"
    assert singles.rows[0].cells[0].value == "b"


def test_a_group_of_the_users_has_one_best_single_model_in_every_table():
    tasks = [
        (task_record(name, tags=(tag,)), [[0.0] * 10] * 5 + [[1.0] * 10]) for name, tag in (("x", "s"), ("y", "t"))
    ]
    explored = read_explored(explore_run(tasks))
    alone, together = ([row.name for row in tables_of([], [explored], own)[1].rows] for own in ({}, {"g": ["x", "y"]}))
    assert (alone, together) == (["x", "y"], ["x, y"])


def test_skills_that_ask_alike_are_told_as_one_choice():
    def chosen(*alike: str) -> str:
        candidates = (Candidate("fixed:a@@S", tuple(f"fixed:a@@{skill}" for skill in alike)), Candidate("direct:a"))
        pairs, _ = tables_of([], [read_explored(explore_run([(TASK, [[1.0], [1.0]])], candidates))])
        return pairs.rows[0].cells[0].value

    # The registry of these runs has two skills.
    assert chosen("T") == "a@@any"
    assert chosen("T", "U") == "a@@S (or 2 alike)"


def test_a_regret_is_shown_beside_its_noise():
    original, other = orchestrator([1.0] * 4), orchestrator([0.0] * 4)
    regret = regret_of(original, other, orchestrator([1.0, 1.0, 1.0, 0.0]))
    document = replay_document(regret, "mine", 1, "a@@S")
    table, _ = document.lead
    assert table.title == "mine: a@@S at turn 1 instead"
    assert [cell.value for cell in table.rows[0].cells] == ["4", "+100.0", "+25.0", "+75.0"]
    noise = "1 of 4 rollouts (25.0 %) came out otherwise with the same call"
    assert noise in render_markdown(document)
    assert "came out otherwise" not in render_markdown(replay_document(regret_of(original, other), "mine", 1, "a@@S"))
