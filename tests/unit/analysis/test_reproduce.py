from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.reproduce import Reproduced, Reproduction, reproduce
from maestro_eval.scoring import RunScores
from maestro_eval.types import Accepted, EarlyStop, Sampling, Selection, TaskRecord

MAIN = ("maestro_main",)
CHART, SLAKE = task_record("maestro_chartqa", MAIN), task_record("maestro_slake", MAIN)
MEANS = {"main": ("maestro_chartqa", "maestro_slake")}


def published(**values: float) -> Reference:
    return Reference(
        name="s1",
        system="S-1",
        citation="somebody",
        where="table 2",
        date="",
        values={scope: ReportedValue(value, "P") for scope, value in values.items()},
        means=MEANS,
        repeats=8,
        temperature=1.0,
    )


def asked(
    passes: Sequence[Sequence[float | None]], *, temperature: float = 1.0, tasks: Sequence[TaskRecord] = (CHART, SLAKE)
) -> RunScores:
    """Each pass is a list of values, the same for every task."""
    entries = [
        (task, [score for repeat, values in enumerate(passes) for score in scores_of(task, values, repeat=repeat)])
        for task in tasks
    ]
    run = run_scores("ours", entries)
    manifest = replace(run.manifest, repeats=len(passes), sampling=Sampling(temperature=temperature))
    return replace(run, manifest=manifest)


def ended_early(run: RunScores) -> RunScores:
    """``run`` with ChartQA ended once it was decided."""
    stop = EarlyStop("maestro_chartqa", "base", 0.05, 0.01, 60, 2500, 0.3, 0.1, 0.5)
    return replace(run, manifest=replace(run.manifest, stopped=(stop,)))


def rows(found: Reproduction) -> dict[str, Reproduced]:
    return {row.scope: row for row in found.rows}


def share(n: int, right: int) -> list[float | None]:
    return [1.0] * right + [0.0] * (n - right)


class TestVerdicts:
    def test_a_steady_run_at_the_published_value_reproduces_it(self) -> None:
        row = rows(reproduce(asked([share(400, 280)] * 8), published(maestro_chartqa=0.7)))["maestro_chartqa"]
        assert row.verdict == "reproduced"
        assert row.tested is not None
        assert (row.tested.noise, row.tested.margin, row.tested.error) == ("rerun", 0.01, 0.0)

    def test_a_run_far_from_it_does_not(self) -> None:
        for value in (0.6, 0.8):
            found = reproduce(asked([share(400, 280)] * 8), published(maestro_chartqa=value))
            assert rows(found)["maestro_chartqa"].verdict == "not reproduced"

    def test_few_samples_are_inconclusive_and_it_is_said_how_many_it_takes(self) -> None:
        found = reproduce(asked([share(100, 70)]), published(maestro_chartqa=0.7))
        row = rows(found)["maestro_chartqa"]
        assert row.verdict == "inconclusive"
        assert row.tested is not None
        assert row.tested.noise == "sampling"
        assert row.tested.margin == row.tested.error > 0.01
        assert row.tested.needed is not None
        assert row.tested.needed.of == "samples"
        # (t + z)² p (1 − p) / margin² with 1.645 and 1.282.
        assert row.tested.needed.number == pytest.approx((1.645 + 1.282) ** 2 * 0.21 / 0.01**2, rel=0.05)

    def test_as_many_samples_as_were_said_to_be_needed_suffice(self) -> None:
        few = rows(reproduce(asked([share(100, 70)]), published(maestro_chartqa=0.7)))["maestro_chartqa"]
        assert few.tested is not None
        assert few.tested.needed is not None
        assert few.tested.needed.number is not None
        n = few.tested.needed.number
        many = asked([share(n, round(0.7 * n))], tasks=[CHART])
        assert rows(reproduce(many, published(maestro_chartqa=0.7)))["maestro_chartqa"].verdict == "reproduced"

    def test_without_a_published_value_there_is_none(self) -> None:
        row = rows(reproduce(asked([share(10, 5)]), published(main=0.5)))["maestro_slake"]
        assert (row.verdict, row.tested) == ("no published value", None)
        assert row.estimate is not None

    def test_a_mean_that_lacks_a_task_is_not_given(self) -> None:
        row = rows(reproduce(asked([share(10, 5)], tasks=[CHART]), published(main=0.5)))["main"]
        assert (row.verdict, row.missing, row.estimate) == ("not given", ("maestro_slake",), None)

    def test_a_mean_over_other_tasks_has_no_published_value(self) -> None:
        third = task_record("maestro_vstar", MAIN)
        found = rows(reproduce(asked([share(10, 5)], tasks=[CHART, SLAKE, third]), published(main=0.5)))
        assert found["main"].verdict in ("no published value", "not given")
        assert found["main"].tested is None

    def test_a_mean_is_tested_as_a_mean(self) -> None:
        row = rows(reproduce(asked([share(400, 280)] * 8), published(main=0.7)))["main"]
        assert (row.verdict, row.kind) == ("reproduced", "mean")


class TestFailures:
    def test_that_could_matter_leave_it_open(self) -> None:
        values: list[float | None] = [*share(390, 280), *[None] * 10]
        row = rows(reproduce(asked([values] * 8), published(maestro_chartqa=0.7)))["maestro_chartqa"]
        assert (row.verdict, row.n_failed) == ("inconclusive", 10)
        assert row.tested is not None
        assert row.tested.high - row.tested.low >= 10 / 400

    def test_that_cannot_matter_do_not(self) -> None:
        values: list[float | None] = [*share(399, 280), None]
        row = rows(reproduce(asked([values] * 8), published(maestro_chartqa=0.7)))["maestro_chartqa"]
        assert (row.verdict, row.n_failed) == ("reproduced", 1)


class TestNoise:
    PASSES = (share(60, 30), share(60, 36), share(60, 33))

    def noise(self, run: RunScores, reference: Reference) -> str:
        tested = rows(reproduce(run, reference))["maestro_chartqa"].tested
        assert tested is not None
        return tested.noise

    def test_is_rerunning_alone_where_the_whole_benchmark_was_asked_several_times(self) -> None:
        assert self.noise(asked(self.PASSES), published(maestro_chartqa=0.5)) == "rerun"

    def test_is_sampling_for_one_pass_a_subset_another_temperature_or_another_number_of_samples(self) -> None:
        reference = published(maestro_chartqa=0.5)
        run = asked(self.PASSES)
        subset = replace(run, manifest=replace(run.manifest, selection=Selection(subset=60)))
        other = replace(reference, values={"maestro_chartqa": ReportedValue(0.5, "P", n=2500)})
        assert self.noise(asked(self.PASSES[:1]), reference) == "sampling"
        assert self.noise(subset, reference) == "sampling"
        assert self.noise(asked(self.PASSES, temperature=0.0), reference) == "sampling"
        assert self.noise(run, other) == "sampling"

    def test_is_sampling_where_the_benchmark_was_ended_early(self) -> None:
        run = ended_early(asked([share(60, 42)] * 4))
        found = rows(reproduce(run, published(maestro_chartqa=0.7, maestro_slake=0.7, main=0.7)))
        assert {scope: row.tested.noise for scope, row in found.items() if row.tested is not None} == {
            "maestro_chartqa": "sampling",
            "maestro_slake": "rerun",
            "main": "sampling",
        }

    def test_of_an_unknown_number_of_published_repeats_is_that_of_one(self) -> None:
        errors = []
        for repeats in (None, 1, 8):
            tested = rows(reproduce(asked(self.PASSES), replace(published(maestro_chartqa=0.5), repeats=repeats)))
            test = tested["maestro_chartqa"].tested
            assert test is not None
            errors.append(test.error)
        assert errors[0] == errors[1] > errors[2]

    def test_equivalence_is_claimed_wrongly_in_no_more_than_one_of_twenty(self) -> None:
        """Sixty samples, four passes on either side, the true gap being the margin: the worst case that is allowed."""
        source = random.Random(20)
        chances = [source.betavariate(2, 1) for _ in range(60)]
        truth = sum(chances) / 60
        deviation = sum(chance * (1 - chance) for chance in chances) ** 0.5 / 60
        claimed, trials = 0, 250
        for _ in range(trials):
            ours = [[float(source.random() < chance) for chance in chances] for _ in range(4)]
            theirs = sum(source.random() < chance for chance in chances for _ in range(4)) / 240
            # The margin is the deviation as measured in these passes; the gap is the true one.
            reference = replace(published(maestro_chartqa=theirs + deviation), repeats=4)
            row = rows(reproduce(asked(ours, tasks=[CHART]), reference))["maestro_chartqa"]
            claimed += row.verdict == "reproduced"
        assert truth < 1
        # 5 % and three standard errors of 250 trials.
        assert claimed / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


class TestDifferences:
    def differences(self, run: RunScores, reference: Reference) -> dict[str, tuple[str, str]]:
        return {each.setting: (each.published, each.here) for each in reproduce(run, reference).differences}

    def test_name_what_is_known_and_what_is_not(self) -> None:
        reference = replace(
            published(maestro_chartqa=0.5),
            protocol="paper",
            regime="paper",
            policy_model="Jinyang23/Maestro-4B",
            services={"caption": "gpt-5", "ocr": "rapidocr"},
        )
        run = asked([share(4, 2)], temperature=0.0)
        registry = replace(run.manifest.registry, services={"ocr": "rapidocr", "zoom": "deepeyes"})
        run = replace(run, manifest=replace(run.manifest, registry=registry))
        found = self.differences(run, reference)
        assert found["service zoom"] == ("none", "deepeyes")
        assert found["captioner"] == ("gpt-5", "none")
        assert found["protocol"] == ("paper", "official")
        assert found["regime"] == ("paper", "default")
        assert found["temperature"] == ("1", "0")
        assert found["repeats"] == ("8", "1")
        assert found["policy model"] == ("Jinyang23/Maestro-4B", "wordllama")
        assert found["registry"] == ("not published", "embedded")
        assert found["registry hash"] == ("not published", "r" * 12)
        assert "service ocr" not in found

    def test_know_a_model_by_its_name_wherever_it_lies(self) -> None:
        run = asked([share(4, 2)])
        run = replace(run, manifest=replace(run.manifest, policy_model="/models/maestro-4b"))
        reference = replace(published(maestro_chartqa=0.5), policy_model="Jinyang23/Maestro-4B")
        assert "policy model" not in self.differences(run, reference)

    def test_name_missing_evidence_a_subset_and_changes_during_the_run(self) -> None:
        run = replace(asked([share(4, 2)]), missing_evidence={"caption": 3})
        changed = replace(
            run.manifest, selection=Selection(limit=4), accepted=(Accepted("policy_model", "one", "two", 0.0),)
        )
        found = self.differences(replace(run, manifest=changed), published(maestro_chartqa=0.5))
        assert found["evidence of caption"] == ("there", "missing for 3 images")
        assert found["samples"] == ("all samples", "limit 4")
        assert found["changed during the run"] == ("nothing", "policy_model (was one, is two)")

    def test_name_benchmarks_that_were_ended_early(self) -> None:
        found = self.differences(ended_early(asked([share(60, 42)])), published(maestro_chartqa=0.7))
        assert found["samples of maestro_chartqa"] == ("all samples", "ended early, decided after 60 of 2500")

    def test_take_the_registry_of_the_numbers_that_were_compared(self) -> None:
        reference = published(maestro_chartqa=0.5)
        other = replace(reference, values={"maestro_chartqa": ReportedValue(0.5, "P", registry="augmented")})
        assert self.differences(asked([share(4, 2)]), other)["registry"] == ("augmented", "embedded")
