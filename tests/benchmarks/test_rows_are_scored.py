"""Right, wrong, verbose, empty and hostile answers to each benchmark's rows, under each protocol.

The values are what `docs/metrics.md` says of them, written down by hand: (released, official, strict).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from maestro_eval.records import (
    AnswerAction,
    Answered,
    Exhausted,
    MalformedAction,
    Outcome,
    Rollout,
    RolloutKey,
    Sample,
    Score,
    Turn,
)
from maestro_eval.sandbox import available
from maestro_eval.scoring import score_rollout
from maestro_eval.tasks import Task, open_task, select_tasks
from tests.benchmarks import rows
from tests.benchmarks.rows import SCHEMAS

OpenRows = Callable[[str], Task]

PROTOCOLS = ("released", "official", "strict")
NONE, ALL = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

DOUBLE = "def solution(n: int) -> int:\n    return 2 * n\n"
TRIPLE = DOUBLE.replace("2 * n", "3 * n")

# row, answer, (released, official, strict)
ANSWERS: dict[str, list[tuple[int, str, tuple[float, float, float]]]] = {
    "chartqa": [
        (0, "337.8", ALL),
        (0, "340", (0.0, 1.0, 1.0)),  # within 5 %, but not to two decimals
        (0, "400", NONE),
        (0, "It rose. The answer is 340.", (0.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "9" * 5000, NONE),
        (1, "belgium", ALL),
        (1, "France", NONE),
        (1, "The leader is clear. Answer: Belgium", (1.0, 1.0, 0.0)),
        (1, "el", (1.0, 0.0, 0.0)),  # stands in the target
    ],
    "geometry3k": [
        (0, "C", (0.0, 1.0, 1.0)),  # the release compares with the option's text
        (0, "B", NONE),
        (0, "135", (1.0, 1.0, 0.0)),
        (0, "The answer is C because it is obtuse.", (0.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "A B C D", NONE),
        (1, "\\frac{20}{3}", (1.0, 1.0, 0.0)),
    ],
    "microvqa": [
        (0, "B", ALL),
        (0, "A", NONE),
        (0, "B. Bleaching", (1.0, 1.0, 0.0)),
        (0, "The dye fades. The answer is (B)", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "(A) (B) (C)", NONE),
        (0, "each", (1.0, 0.0, 0.0)),  # stands in the right option's text
        (0, "2", NONE),  # its authors' number is not what our question asks for
    ],
    "msearthmcq": [
        (0, "B", ALL),
        (0, "C", NONE),
        (0, '{"answer": "B", "Explanation": "It is dark."}', (0.0, 1.0, 1.0)),
        (0, 'Here it is:\n```json\n{"answer": "B. basalt", "Explanation": "dark"}\n```', (0.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, '{"answer": ' + "[" * 5000, NONE),
    ],
    "slake": [
        (0, "liver", ALL),
        (0, "Spleen", NONE),
        (0, "The answer is the liver.", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "liver spleen kidney lung", (1.0, 0.0, 0.0)),  # the target stands in it
        (0, "e", (1.0, 0.0, 0.0)),
        (2, "No.", ALL),
        (2, "Yes", NONE),
        (2, "No, it is not.", (1.0, 1.0, 0.0)),
        (2, "I do not know", (1.0, 0.0, 0.0)),  # "no" stands in it
    ],
    "tallyqa": [
        (0, "4", ALL),
        (0, "5", NONE),
        (0, "There are four dogs.", (0.0, 1.0, 0.0)),
        (0, "So the count is \\boxed{4}", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "1e999", NONE),
        (1, "0", ALL),
        (1, "none", NONE),
    ],
    "vstar": [
        (0, "B", ALL),
        (0, "A", NONE),
        (0, "The answer is light blue.", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "red or light blue", (1.0, 0.0, 0.0)),  # the right option's text stands in it
        (1, "yes", (1.0, 1.0, 0.0)),
        (1, "yes, I think", NONE),
    ],
    "mathvision": [
        (2, "\\frac{3\\sqrt{2}}{2}", ALL),
        (2, "$\\frac{3}{\\sqrt{2}}$", ALL),
        (2, "3", NONE),
        (2, "2.12", (1.0, 1.0, 0.0)),  # to two decimals
        (2, "So the diagonal is \\boxed{3\\sqrt{2}/2}.", (1.0, 1.0, 0.0)),
        (2, "", NONE),
        (2, "\\frac{" * 50, NONE),
        (2, "__import__('os').system('true')", NONE),
        (1, "D", ALL),
        (1, "24", (1.0, 1.0, 0.0)),
        (1, "E", NONE),
    ],
    "erqa": [
        (0, "B", ALL),
        (0, "b.", ALL),
        (0, "A", NONE),
        (0, "The gripper has to go down. Answer: B", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "B or C", NONE),
    ],
    "ocrbench": [
        (0, "centre", ALL),
        (0, "CENTER", ALL),
        (0, "MARKET", NONE),
        (0, "The sign says CENTRE.", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "C E N T R E", NONE),
        (1, "x^{2}+Y", ALL),
        (1, "x^{2}+y", NONE),
    ],
    "vlmsareblind": [
        (0, "{2}", ALL),
        (0, "{3}", NONE),
        (0, "Of 5 paths, {2} are of one colour.", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "{2}{3}{4}", (1.0, 1.0, 0.0)),
        (1, "no", ALL),
        (1, "Is it yes or no?", NONE),
        (2, "4,5", ALL),
        (2, "4 rows and 5 columns", (1.0, 1.0, 0.0)),
        (2, "5,4", NONE),
    ],
    "mathvista": [
        (0, "B", ALL),
        (0, "A", NONE),
        (0, "The right one", ALL),
        (0, "They differ. Answer: (B)", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "The left one The right one", (1.0, 1.0, 0.0)),
        (1, "10.4", ALL),
        (1, "10.5", NONE),
        (2, "6", ALL),
        (2, "There are 6 bars.", (1.0, 1.0, 0.0)),
        (2, "between 6 and 7", NONE),
    ],
}
ANSWERS["mathvision_testmini"] = ANSWERS["mathvision"][:2]
for size in "48":
    ANSWERS[f"hrbench{size}k"] = [
        (0, "B", ALL),
        (1, "A", ALL),
        (0, "C", NONE),
        (0, "The kite is blue. Answer: B", (1.0, 1.0, 0.0)),
        (0, "Blue", (1.0, 1.0, 0.0)),
        (0, "", NONE),
        (0, "ABCD", NONE),
    ]

PROGRAMS = [
    (f"```python\n{DOUBLE}```", ALL),
    (f"```python\n{TRIPLE}```", NONE),
    (f"It doubles.\n```python\n{DOUBLE}```\nThat is all.", (1.0, 1.0, 0.0)),
    ("", NONE),
    ("It doubles the number.", NONE),
    ("```python\nimport os\n\ndef solution(n):\n    os._exit(0)\n```", (1.0, 0.0, 0.0)),  # ends without an error
    ("```python\ndef solution(n):\n    raise SystemExit(0)\n```", (1.0, 0.0, 0.0)),
]


@pytest.fixture(scope="module")
def open_rows(tmp_path_factory: pytest.TempPathFactory) -> OpenRows:
    @cache
    def opened(name: str) -> Task:
        path = rows.write(name, tmp_path_factory.mktemp(name))
        return open_task(select_tasks([f"maestro_{name}"], data={f"maestro_{name}": str(path)})[0])

    return opened


def sample_of(task: Task, row: int) -> Sample:
    """The sample of a row, where rows that are no samples count as rows."""
    kept = [number for number, each in enumerate(SCHEMAS[task.name.removeprefix("maestro_")].rows) if kept_row(each)]
    return task.load(task.ids()[kept.index(row)]).sample


def kept_row(row: object) -> bool:
    return not isinstance(row, dict) or row.get("q_lang", "en") == "en"


def answered(sample: Sample, answer: str) -> Rollout:
    """The rollout of a policy that thinks, answers in tags as it is told to, and is done."""
    turn = Turn(f"<think> Let me see. </think><answer>{answer}</answer>", AnswerAction(answer))
    return rollout(sample, Answered(answer), turn)


def rollout(sample: Sample, outcome: Outcome, turn: Turn) -> Rollout:
    return Rollout(RolloutKey(sample.task, sample.sample_id), outcome, (turn,), "", sample.content_hash, seed=0)


def scores(task: Task, sample: Sample, answer: str) -> dict[str, Score]:
    return {name: score_rollout(sample, answered(sample, answer), task.record, name) for name in PROTOCOLS}


CASES = [(name, *case) for name, cases in ANSWERS.items() for case in cases]


@pytest.mark.parametrize(
    ("name", "row", "answer", "values"), CASES, ids=[f"{name}-{row}-{answer[:30]}" for name, row, answer, _ in CASES]
)
def test_an_answer_is_worth(
    open_rows: OpenRows, name: str, row: int, answer: str, values: tuple[float, float, float]
) -> None:
    task = open_rows(name)
    found = scores(task, sample_of(task, row), answer)
    if not task.record.released:
        values = (values[0] if "boxed" in answer else 0.0, *values[1:])
    assert tuple(found[protocol].value for protocol in PROTOCOLS) == values


def test_every_benchmark_has_answers_of_all_kinds() -> None:
    assert set(ANSWERS) | {"humanevalv"} == set(SCHEMAS)
    for name, cases in ANSWERS.items():
        values = [value for _, _, value in cases]
        assert any(official == strict == 1 for _, official, strict in values)
        if name != "mathvision_testmini":
            assert any(not answer for _, answer, _ in cases)
            assert NONE in values
            # Verbose: right under official, and not in the form that was asked for.
            assert any(official > strict for _, official, strict in values)


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "humanevalv"])
def test_the_target_itself_is_right(open_rows: OpenRows, name: str) -> None:
    task = open_rows(name)
    for sample_id in task.ids():
        sample = task.load(sample_id).sample
        for target in sample.targets:
            values = {protocol: score.value for protocol, score in scores(task, sample, target).items()}
            assert (values["official"], values["strict"]) == (1.0, 1.0), target
            # These two are compared with the option's text, and the fall-back wants a box.
            if name not in ("geometry3k", "vstar"):
                assert values["released"] == float(bool(task.record.released)), target


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "humanevalv"])
def test_a_policy_that_never_answers_scores_nothing(open_rows: OpenRows, name: str) -> None:
    task = open_rows(name)
    sample = task.load(task.ids()[0]).sample
    lost = rollout(sample, Exhausted("turns"), Turn("<think> Hm.", MalformedAction("no answer")))
    assert [score_rollout(sample, lost, task.record, protocol).value for protocol in PROTOCOLS] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", SCHEMAS)
def test_scores_keep_category_stratum_and_cluster(open_rows: OpenRows, name: str) -> None:
    task = open_rows(name)
    sample = task.load(task.ids()[0]).sample
    score = score_rollout(sample, answered(sample, "?"), task.record, "strict")
    assert (score.category, score.stratum, score.cluster) == (sample.category, sample.stratum, sample.cluster)
    assert score.cluster


def test_tasks_without_a_released_rule_go_to_its_fall_back(open_rows: OpenRows) -> None:
    without = {name for name in SCHEMAS if not open_rows(name).record.released}
    assert without == {
        "hrbench4k", "hrbench8k", "mathvision", "mathvision_testmini", "erqa", "ocrbench", "vlmsareblind", "mathvista",
    }  # fmt: skip
    for name in without:
        task = open_rows(name)
        sample = task.load(task.ids()[0]).sample
        assert scores(task, sample, f"\\boxed{{{sample.targets[0]}}}")["released"].value == 1.0
        assert scores(task, sample, "?")["released"].note == "no \\boxed{}"


def test_secondary_measures(open_rows: OpenRows) -> None:
    tally, slake = open_rows("tallyqa"), open_rows("slake")
    assert scores(tally, sample_of(tally, 0), "6")["official"].others == {"squared_error": 4.0}
    assert scores(slake, sample_of(slake, 0), "left liver lobe")["official"].others == {"token_recall": 1.0}
    assert scores(slake, sample_of(slake, 2), "No")["official"].others == {}


@pytest.mark.skipif(available() is not None, reason="no sandbox here")
@pytest.mark.parametrize(("answer", "values"), PROGRAMS, ids=[answer[:40] for answer, _ in PROGRAMS])
def test_a_program_is_worth(open_rows: OpenRows, answer: str, values: tuple[float, float, float]) -> None:
    pytest.importorskip("pylint")
    task = open_rows("humanevalv")
    found = scores(task, sample_of(task, 0), answer)
    assert tuple(found[protocol].value for protocol in PROTOCOLS) == values, [score.note for score in found.values()]


@pytest.mark.skipif(available() is not None, reason="no sandbox here")
def test_the_authors_solution_is_right(open_rows: OpenRows) -> None:
    pytest.importorskip("pylint")
    task = open_rows("humanevalv")
    solution = SCHEMAS["humanevalv"].rows[0]["ground_truth_solution"]
    found = scores(task, sample_of(task, 0), f"```python\n{solution}```")
    assert [score.value for score in found.values()] == [1.0, 1.0, 1.0], [score.note for score in found.values()]


def test_rows_are_written_afresh(tmp_path: Path) -> None:
    assert rows.write("chartqa", tmp_path / "a").read_bytes() == rows.write("chartqa", tmp_path / "b").read_bytes()
