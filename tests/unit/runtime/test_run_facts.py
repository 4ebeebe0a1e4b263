"""What the journal's records say about how much of what was asked was reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.analysis.analysis_runs import task_record
from unit.runtime.live_worlds import finished

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    AnswerAction,
    Answered,
    ExpertCall,
    PromptRead,
    RegistryRecord,
    Rollout,
    RolloutKey,
    Sample,
    TaskRecord,
    Timing,
    Turn,
    Usage,
)
from maestro_eval.runtime.run_facts import (
    POLICY,
    EndpointThroughput,
    PromptFacts,
    RunFacts,
    Throughput,
    fact_lines,
    run_facts,
)
from tests.small_worlds import small_manifest, small_registry, write_run

RAY = {"executor": "ray", "workers": 2, "concurrency": 8}


def call(seconds: float, name: str = "reader", *, kind: str = "expert", **fields: object) -> ExpertCall:
    return ExpertCall(kind, name, "m", "http://127.0.0.1:9/v1", "q", timing=Timing(0.0, seconds), **fields)


def journal_of(
    folder: Path,
    rollouts: list[tuple[float, float, list[ExpertCall]]],
    *,
    registry: RegistryRecord,
    settings: dict,
    policy: str = "router",
) -> Path:
    """A run folder with a rollout for each (start, seconds, calls), and one planned key without a record."""
    task = TaskRecord("t", "h", "exact", "mean", (), "d", "h", 1)
    manifest = small_manifest(task, policy=policy, registry=registry, settings=settings)
    keys = [RolloutKey("t", str(number)) for number in range(len(rollouts) + 1)]
    with Journal.create(folder / "run", manifest, keys) as journal:
        for key, (start, seconds, calls) in zip(keys, rollouts, strict=False):
            turn = Turn("4", AnswerAction("4"), calls=tuple(calls), timing=Timing(start, seconds))
            rollout = Rollout(key, Answered("4"), (turn,), "q", "c", 0, timing=Timing(start, seconds))
            journal.commit([Finished(rollout, Sample("t", key.sample_id, "q", ("4",), content_hash="c"))])
    return folder / "run"


def test_what_a_policy_generates_counts_as_its_calls_until_the_first_other_call(tmp_path: Path) -> None:
    later = ExpertCall("expert", "reader", "m", "u", "q", timing=Timing(12.0, 3.0))
    failed = call(4.0, "policy", kind="policy", error="timeout: no reply")
    spans = [(10.0, 10.0, [later]), (10.0, 10.0, []), (10.0, 10.0, [failed])]
    folder = journal_of(tmp_path, spans, registry=recorded(tmp_path), settings=RAY, policy="openai:http://p#m")
    policy = next(each for each in run_facts(folder).throughput.endpoints if each.endpoint == POLICY)
    assert (policy.calls, policy.errors, policy.in_flight) == (3, 1, pytest.approx((2 + 10 + 4) / 10))


def said_of(seen: Throughput) -> list[str]:
    return list(fact_lines(RunFacts(seen, PromptFacts(12_288, 5, 0, 0, 0))))


def recorded(folder: Path) -> RegistryRecord:
    registry = small_registry(folder)
    return RegistryRecord(registry.name, str(folder / "small.yaml"), registry.hash)


def test_wall_time_leaves_out_what_passed_before_a_resume(tmp_path: Path) -> None:
    spans = [(100.0, 4.0, []), (102.0, 4.0, []), (103.0, 1.0, []), (1000.0, 4.0, [])]
    seen = run_facts(journal_of(tmp_path, spans, registry=recorded(tmp_path), settings=RAY)).throughput
    assert seen == Throughput(
        rollouts=4, wall_s=10.0, rollouts_per_s=0.4, asked=16, in_flight=pytest.approx(1.3), endpoints=()
    )


def test_calls_are_told_by_the_registrys_endpoint_whatever_its_address_was(tmp_path: Path) -> None:
    calls = [
        *(call(seconds) for seconds in (1.0, 2.0, 3.0)),
        call(2.0, "spotter", kind="service", tries=3),
        call(4.0, error="timeout: no reply", tries=1),
        call(0.0, tries=0, cached=True),
        call(6.0, "policy", kind="policy"),
    ]
    moved = [ExpertCall("expert", "counter", "m", "http://127.0.0.1:10/v1", "q", timing=Timing(0.0, 2.0))]
    spans = [(0.0, 10.0, calls), (10.0, 10.0, moved)]
    seen = run_facts(journal_of(tmp_path, spans, registry=recorded(tmp_path), settings=RAY)).throughput
    here, policy = seen.endpoints
    assert (here.endpoint, here.asked) == ("here", 32)
    assert (here.calls, here.cached, here.tries, here.errors) == (6, 1, 8, 1)
    assert here.in_flight == pytest.approx(14 / 20)
    assert (here.p50_s, here.p99_s) == (pytest.approx(2.0), pytest.approx(2.96))
    assert (policy.endpoint, policy.asked, policy.in_flight) == (POLICY, 16, pytest.approx(0.3))


@pytest.mark.parametrize("change", ["gone", "edited"])
def test_without_the_registry_of_the_run_calls_are_told_by_their_address(tmp_path: Path, change: str) -> None:
    record = recorded(tmp_path)
    path = Path(record.path)
    if change == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("Reads printed words", "Reads"))
    (seen,) = run_facts(
        journal_of(tmp_path, [(0.0, 1.0, [call(1.0)])], registry=record, settings={})
    ).throughput.endpoints
    assert (seen.endpoint, seen.asked, seen.in_flight) == ("http://127.0.0.1:9/v1", None, 1.0)


def test_a_local_run_is_one_process(tmp_path: Path) -> None:
    settings = {"executor": "local", "workers": 2, "concurrency": 8}
    seen = run_facts(
        journal_of(tmp_path, [(0.0, 1.0, [call(1.0)])], registry=recorded(tmp_path), settings=settings)
    ).throughput
    assert (seen.asked, seen.endpoints[0].asked) == (16, 32)


def test_a_run_without_records_has_rates_of_zero(tmp_path: Path) -> None:
    seen = run_facts(journal_of(tmp_path, [], registry=recorded(tmp_path), settings=RAY)).throughput
    assert seen == Throughput(0, 0.0, 0.0, 16, 0.0, ())
    assert said_of(seen) == ["rollouts 0 in 0.0 s, 0 a second; 0.0 of 16 in flight"]


def test_lines_name_only_what_happened() -> None:
    quiet = EndpointThroughput("here", 32, 7.25, 1200, 0, 1200, 0, 0.5, 1.25, 2.0)
    rough = EndpointThroughput("http://there/v1", None, 1.0, 10, 3, 14, 10, None, None, None)
    assert said_of(Throughput(2000, 61.5, 32.5, 64, 60.04, (quiet, rough))) == [
        "rollouts 2,000 in 61.5 s, 32.5 a second; 60.0 of 64 in flight",
        "calls    here: 1,200, 7.2 of 32 in flight or waiting; p50 0.5 s, p95 1.25 s, p99 2 s",
        "calls    http://there/v1: 10, 1.0 in flight or waiting; 4 tried again; 10 failed; 3 more from the cache",
    ]


def rolled(number, repeat, *prompts):
    turns = tuple(
        Turn("…", AnswerAction("7"), usage=Usage(tokens, 1), prompt=PromptRead(tokens, "0", streamed))
        for tokens, streamed in prompts
    )
    return finished(f"s{number}", turns=turns, task="signs", repeat=repeat)


def test_long_first_prompts_are_counted_by_sample_and_later_ones_by_how_they_were_read(tmp_path):
    batch = [
        rolled(1, 0, (12_289, None), (12_400, True), (12_500, False)),
        rolled(1, 1, (12_289, None)),
        rolled(2, 0, (12_288, None), (90_000, True)),
        rolled(3, 0),
    ]
    facts = run_facts(write_run(tmp_path, small_manifest(task_record("signs")), batch))
    assert facts.prompts == PromptFacts(12_288, samples=3, overlong=1, later=3, encoded_anew=1)
    *_, long, anew = fact_lines(facts)
    assert "1 of 3 samples have prompts over 12,288 tokens: the released filter leaves them out" in long
    assert "1 of 3 later prompts were encoded otherwise" in anew
