from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.reproduce import Gap, Reproduced, Reproduction, reproduce
from maestro_eval.records import Accepted, EarlyStop, Sampling, Selection, TaskRecord
from maestro_eval.runtime.run_facts import PromptFacts
from maestro_eval.scoring import RunScores, Tally

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


def row_of(run: RunScores, reference: Reference, scope: str = "maestro_chartqa", margin: float = 0.01) -> Reproduced:
    return rows(reproduce(run, reference, margin))[scope]


def gap_of(run: RunScores, reference: Reference, scope: str = "maestro_chartqa") -> Gap:
    found = row_of(run, reference, scope).gap
    assert found is not None
    return found


class TestVerdicts:
    def test_a_steady_run_at_the_published_value_reproduces_it(self) -> None:
        row = row_of(asked([share(400, 280)] * 8), published(maestro_chartqa=0.7))
        assert row.verdict == "reproduced"
        assert row.gap is not None
        assert row.gap.excluded < 0.001

    def test_a_run_far_from_it_differs(self) -> None:
        for value in (0.6, 0.8):
            assert row_of(asked([share(400, 280)] * 8), published(maestro_chartqa=value)).verdict == "differs"

    def test_a_single_pass_at_it_is_compatible_and_says_what_is_excluded(self) -> None:
        row = row_of(asked([share(400, 280)]), published(maestro_chartqa=0.7))
        assert row.verdict == "compatible"
        assert row.gap is not None
        # Ours answered once, theirs eight times: 1.96 √(p (1 − p) / n × (1 + 1/8)).
        assert row.gap.excluded == pytest.approx(1.96 * (0.21 / 400 * (1 + 1 / 8)) ** 0.5, rel=0.02)

    def test_the_margin_is_the_users(self) -> None:
        run, reference = asked([share(400, 280)]), published(maestro_chartqa=0.7)
        assert row_of(run, reference, margin=0.1).verdict == "reproduced"

    def test_without_a_published_value_there_is_none(self) -> None:
        row = row_of(asked([share(10, 5)]), published(main=0.5), "maestro_slake")
        assert (row.verdict, row.gap) == ("no published value", None)
        assert row.estimate is not None

    def test_a_mean_that_lacks_a_task_is_not_given(self) -> None:
        row = row_of(asked([share(10, 5)], tasks=[CHART]), published(main=0.5), "main")
        assert (row.verdict, row.missing, row.estimate) == ("not given", ("maestro_slake",), None)

    def test_a_mean_over_other_tasks_has_no_published_value(self) -> None:
        third = task_record("maestro_vstar", MAIN)
        row = row_of(asked([share(10, 5)], tasks=[CHART, SLAKE, third]), published(main=0.5), "main")
        assert row.verdict in ("no published value", "not given")
        assert row.gap is None

    def test_a_mean_is_tested_as_a_mean(self) -> None:
        row = row_of(asked([share(400, 280)] * 8), published(main=0.7), "main")
        assert (row.verdict, row.kind) == ("reproduced", "mean")


class TestFailures:
    def test_widen_the_gap_by_what_they_hide(self) -> None:
        values: list[float | None] = [*share(390, 280), *[None] * 10]
        row = row_of(asked([values] * 8), published(maestro_chartqa=0.7))
        assert (row.verdict, row.n_failed) == ("compatible", 10)
        assert row.gap is not None
        assert row.gap.high - row.gap.low >= 10 / 400

    def test_that_cannot_matter_do_not(self) -> None:
        values: list[float | None] = [*share(399, 280), None]
        row = row_of(asked([values] * 8), published(maestro_chartqa=0.7))
        assert (row.verdict, row.n_failed) == ("reproduced", 1)


class TestChance:
    PASSES = (share(60, 30), share(60, 36), share(60, 33))

    def test_on_the_same_questions_is_that_of_answering_again(self) -> None:
        found = gap_of(asked(self.PASSES), published(maestro_chartqa=0.5))
        assert (found.question, found.assumed) == ("benchmark", ("n",))
        # Six samples of which a third of the passes differ; three are right in one pass of three, three in two.
        within = 6 * (1 / 3) / 60
        assert found.error == pytest.approx((within / 60 * (1 / 3 + 1 / 8)) ** 0.5, rel=0.01)

    def test_on_other_questions_is_that_of_their_kind(self) -> None:
        reference = published(maestro_chartqa=0.5)
        run = asked(self.PASSES)
        limited = replace(run, manifest=replace(run.manifest, selection=Selection(limit=60)))
        other = replace(reference, values={"maestro_chartqa": ReportedValue(0.5, "P", n=2500)})
        for found in (gap_of(limited, reference), gap_of(run, other)):
            assert found.question == "kind"
            assert found.error > 3 * gap_of(run, reference).error

    def test_of_a_random_subset_is_about_the_benchmark_and_larger(self) -> None:
        run = asked(self.PASSES)
        subset = replace(run, manifest=replace(run.manifest, selection=Selection(subset=60)))
        found = gap_of(subset, published(maestro_chartqa=0.5))
        assert found.question == "benchmark"
        assert found.error > 3 * gap_of(run, published(maestro_chartqa=0.5)).error

    def test_of_nearly_all_of_a_finite_benchmark_is_hardly_that_of_its_questions(self) -> None:
        sizes = [replace(CHART, published=size) for size in (0, 6000, 66, 60)]
        errors = []
        for record in sizes:
            run = asked(self.PASSES, tasks=[record])
            subset = replace(run, manifest=replace(run.manifest, selection=Selection(subset=60)))
            errors.append(gap_of(subset, published(maestro_chartqa=0.5)).error)
        assert errors == sorted(errors, reverse=True)
        assert errors[2] < 0.5 * errors[1]
        assert errors[3] == pytest.approx(
            gap_of(asked(self.PASSES, tasks=[CHART]), published(maestro_chartqa=0.5)).error
        )

    def test_where_the_benchmark_was_ended_early_is_of_its_kind(self) -> None:
        run = ended_early(asked([share(60, 42)] * 4))
        found = rows(reproduce(run, published(maestro_chartqa=0.7, maestro_slake=0.7, main=0.7)))
        assert {scope: row.gap.question for scope, row in found.items() if row.gap is not None} == {
            "maestro_chartqa": "kind",
            "maestro_slake": "benchmark",
            "main": "kind",
        }

    def test_of_an_unknown_number_of_published_repeats_is_that_of_one(self) -> None:
        errors = []
        for repeats in (None, 1, 8):
            found = gap_of(asked(self.PASSES), replace(published(maestro_chartqa=0.5), repeats=repeats))
            assert ("repeats" in found.assumed) == (repeats is None)
            errors.append(found.error)
        assert errors[0] == errors[1] > errors[2]

    def test_calls_a_faithful_rerun_compatible_and_one_five_points_off_not(self) -> None:
        """One pass over ten benchmarks of the published sizes, cut to 300; the published value is another pass of the
        same system, whose samples each have their own chance."""
        sizes = (300,) * 8 + (191, 300)
        tasks = [task_record(f"maestro_t{number}", MAIN) for number in range(len(sizes))]
        means = {"main": tuple(task.name for task in tasks)}
        generator = np.random.default_rng(4)
        faithful = off = 0
        trials = 10
        for _ in range(trials):
            chances = [generator.beta(1.4, 0.6, n) for n in sizes]
            theirs = float(np.mean([(generator.random(len(c)) < c).mean() for c in chances]))
            ours = [(generator.random(len(c)) < c).astype(float).tolist() for c in chances]
            run = run_scores("ours", [(task, scores_of(task, v)) for task, v in zip(tasks, ours, strict=True)])
            for value, expected in ((round(theirs, 3), "faithful"), (round(theirs, 3) + 0.05, "off")):
                reference = replace(published(main=value), means=means, repeats=None)
                verdict = row_of(run, reference, "main").verdict
                faithful += expected == "faithful" and verdict in ("compatible", "reproduced")
                off += expected == "off" and verdict in ("compatible", "reproduced")
        assert faithful >= 0.95 * trials
        assert off == 0


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
        run = replace(asked([share(4, 2)]), tally=Tally(missing_evidence={"caption": 3}))
        changed = replace(
            run.manifest, selection=Selection(limit=4), accepted=(Accepted("policy_model", "one", "two", 0.0),)
        )
        found = self.differences(replace(run, manifest=changed), published(maestro_chartqa=0.5))
        assert found["evidence of caption"] == ("there", "missing for 3 images")
        assert found["samples"] == ("all samples", "limit 4")
        assert found["changed during the run"] == ("nothing", "policy_model (was one, is two)")

    def test_name_the_samples_that_the_released_filter_leaves_out(self) -> None:
        facts = PromptFacts(limit=12_288, samples=4, overlong=3, later=0, encoded_anew=0)
        found = reproduce(asked([share(4, 2)]), published(maestro_chartqa=0.5), prompts=facts).differences
        assert [(each.published, each.here) for each in found if "12,288" in each.setting] == [
            ("left out in training", "3 of 4 asked")
        ]

    def test_never_let_what_was_not_published_pass_for_equal(self) -> None:
        reference = replace(published(maestro_chartqa=0.5), settings_from="the code")
        found = self.differences(asked([share(4, 2)] * 8), reference)
        assert found["number of repeats behind the numbers"] == ("not published", "8")
        assert found["number of samples"][0] == "not published"
        assert "repeats" not in found
        assert gap_of(asked([share(4, 2)] * 8), reference).assumed == ("n", "repeats")

    def test_name_benchmarks_that_were_ended_early(self) -> None:
        found = self.differences(ended_early(asked([share(60, 42)])), published(maestro_chartqa=0.7))
        assert found["samples of maestro_chartqa"] == ("all samples", "ended early, decided after 60 of 2500")

    def test_take_the_registry_of_the_numbers_that_were_compared(self) -> None:
        reference = published(maestro_chartqa=0.5)
        other = replace(reference, values={"maestro_chartqa": ReportedValue(0.5, "P", registry="augmented")})
        assert self.differences(asked([share(4, 2)]), other)["registry"] == ("augmented", "embedded")
