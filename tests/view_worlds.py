"""Run folders to look at: two systems with real pictures on one benchmark, an explore run, and one of hostile texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from msgspec.structs import replace
from small_worlds import small_manifest, write_run

from maestro_eval.embedded.mini import make_mini
from maestro_eval.files import bundled
from maestro_eval.journal import Finished
from maestro_eval.records import (
    AnswerAction,
    Answered,
    CallError,
    Candidate,
    ExpertCall,
    Failed,
    Image,
    ImageRef,
    MalformedAction,
    PromptRecord,
    RegistryRecord,
    Resolution,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    SearchAction,
    TaskRecord,
    Timing,
    Turn,
    Usage,
)
from maestro_eval.tasks import TaskSpec, open_task

BEGAN = 1_790_000_000.0
TASK = "maestro_mini_tallyqa"
BASE, AUGMENTED, EXPLORE, HOSTILE = "base", "augmented", "explore", "hostile"

SCRIPT = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><svg onload='window.hacked=1'></svg>"
NASTY = (
    f"{SCRIPT}\u202edesrever\u202c\x1b[31mred\x1b[0m\x00{{{{ 7*7 }}}}</textarea></style>" + "w" * 400 + "\u0301" * 200
)


@cache
def samples_of(folder: Path, count: int = 6) -> tuple[TaskRecord, tuple[Sample, ...]]:
    """The first samples of a generated benchmark, with their data below ``folder``."""
    data = make_mini(folder, seed=3, per_task={TASK: count})[TASK]
    task = open_task(TaskSpec(TASK, str(bundled("tasks")), str(data)))
    record = replace(task.record, data_hash=task.data_hash, planned=count)
    return record, tuple(task.load(sample_id).sample for sample_id in task.ids())


def manifest_of(
    system: str, tasks: Iterable[TaskRecord], *, experts: Sequence[str] = ("counter",), candidates: Sequence[str] = ()
) -> RunManifest:
    entries = {f"experts.{name}": name * 8 for name in experts} | {"skills.Count_Things": "c" * 64}
    return small_manifest(
        *tasks,
        system=system,
        policy="explore" if candidates else "router",
        policy_model="router",
        registry=RegistryRecord(
            f"registry of {system}",
            "small.yaml",
            f"{system:x<64}",
            {name: f"{name}-model" for name in experts},
            {"spotter": "spotter-model"},
            ("Count_Things",),
            entries,
        ),
        prompt=PromptRecord(f"You route for {system}.\nAsk, then answer.", "9" * 64),
        seed=7,
        repeats=max(1, len(candidates)),
        created_at=BEGAN + len(system),
        candidates=tuple(map(Candidate, candidates)),
    )


def rollout_of(
    sample: Sample, answer: str, expert: str = "counter", *, repeat: int = 0, made: Sequence[Image] = ()
) -> Rollout:
    """A spotter's boxes as evidence, one call of ``expert``, shown what was ``made`` too, and an answer."""
    shas = tuple(ref.sha256 for ref in sample.images)
    seen = (*shas, *(picture.ref.sha256 for picture in made))
    boxes = '[{"bbox_2d": [20, 20, 120, 90], "label": "circle"}, {"bbox_2d": [140, 40, 200, 120], "label": "square"}]'
    service = _call("service", "spotter", "Name the objects.", boxes, shas, 0.1)
    asked = _call("expert", expert, "How many?", f"I counted them twice. The answer is {answer}.", seen, 0.6)
    search = Turn(
        f"<think>Who counts best?</think><search> {expert}@@Count_Things: How many? </search>",
        SearchAction(expert, "Count_Things", "How many?"),
        Resolution(expert, "Count_Things", "exact"),
        f"The answer is {answer}.",
        (service, asked),
        usage=Usage(50, 10),
        timing=Timing(BEGAN, 1.0),
    )
    said = Turn(f"<answer> {answer} </answer>", AnswerAction(answer), timing=Timing(BEGAN + 1, 0.2))
    return Rollout(
        RolloutKey(sample.task, sample.sample_id, repeat),
        Answered(answer),
        (search, said),
        f"Question: {sample.question}",
        sample.content_hash,
        42,
        timing=Timing(BEGAN, 1.25),
    )


def two_systems(root: Path) -> Path:
    """``base`` is right on even samples; ``augmented`` on all but sample 1, the odd ones through a new expert.

    The last sample of ``base`` failed. An explore run has two candidates: the second is right on everything.
    """
    record, samples = samples_of(root / "data")
    base, augmented, explored = [], [], []
    for number, sample in enumerate(samples):
        right, wrong = sample.targets[0], str(int(sample.targets[0]) + 7)
        base.append(Finished(rollout_of(sample, wrong if number % 2 else right), sample))
        expert = "seer" if number % 2 else "counter"
        augmented.append(Finished(rollout_of(sample, wrong if number == 1 else right, expert), sample))
        explored += [Finished(rollout_of(sample, wrong, repeat=0), sample)]
        explored += [Finished(rollout_of(sample, right, "seer", repeat=1), sample)]
    fault = CallError("http", "the model is not there", 404)
    broken = replace(base[-1].rollout, outcome=Failed("expert", "counter: http 404: the model is not there", fault))
    base[-1] = Finished(broken, base[-1].sample)
    candidates = ("fixed:counter@@Count_Things", "fixed:seer@@Count_Things")
    both = ("counter", "seer")
    write_run(root / BASE, manifest_of(BASE, [record]), base)
    write_run(root / AUGMENTED, manifest_of(AUGMENTED, [record], experts=both), augmented)
    write_run(root / EXPLORE, manifest_of(EXPLORE, [record], experts=both, candidates=candidates), explored)
    return root


def hostile_run(root: Path, *, many: int = 1000, observation: int = 10_000_000) -> Path:
    """Markup, control characters and endless words in every field; one rollout of very many turns."""
    task = TaskRecord(NASTY[:300], "e" * 64, "substring", "mean", (NASTY[:80],), "/etc/passwd", "f" * 64, 3)
    manifest = manifest_of(NASTY[:500], [task], experts=(NASTY[:200],))
    picture = ImageRef("a" * 64, SCRIPT, 30, 20, 10, NASTY[:200])
    finished = []
    for number, length in enumerate((1, many)):
        sample = Sample(
            task.name,
            f"{number} {NASTY}",
            NASTY,
            (NASTY, "b"),
            (NASTY, SCRIPT),
            (picture,),
            NASTY,
            content_hash="c" * 64,
        )
        call = _call("expert", NASTY[:300], NASTY, NASTY, (SCRIPT,), 0.1)
        turn = Turn(
            f"<think>{NASTY}</think><search>{NASTY}</search>",
            SearchAction(NASTY, NASTY, NASTY),
            Resolution(NASTY[:200], NASTY[:200], "lenient", NASTY[:50]),
            NASTY + "x" * (observation if number == 0 else 10),
            (call, replace(call, kind="service", error=NASTY, fault=CallError("http", NASTY))),
            (NASTY,),
            reasoning=NASTY,
            timing=Timing(BEGAN, 1.0),
        )
        bad = Turn(NASTY, MalformedAction(NASTY), observation=NASTY, timing=Timing(BEGAN, 1.0))
        outcome = Answered(NASTY) if number == 0 else Failed("harness", NASTY)
        key = RolloutKey(sample.task, sample.sample_id)
        finished.append(
            Finished(
                Rollout(key, outcome, (turn, *[bad] * (length - 1)), NASTY, "c" * 64, 1, timing=Timing(BEGAN, 2.0)),
                sample,
            )
        )
    never_ran = RolloutKey(task.name, NASTY[:100])
    return write_run(root / HOSTILE, manifest, finished, [*(each.rollout.key for each in finished), never_ran])


def _call(kind: str, name: str, request: str, reply: str, shas: tuple[str, ...], at: float) -> ExpertCall:
    return ExpertCall(
        kind,  # type: ignore[arg-type]
        name,
        f"{name}-model",
        "http://127.0.0.1:8001/v1",
        request,
        reply,
        shas,
        "stop",
        Usage(100, 5),
        timing=Timing(BEGAN + at, 0.4),
    )
