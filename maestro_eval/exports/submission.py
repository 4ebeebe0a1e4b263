"""Writes the folder that a leaderboard accepts: results, samples, manifest, model card, README and checksums.

The folder is written under a temporary name and renamed when complete. An incomplete run is refused without
``--allow-incomplete``, and marked with it. Nothing private is included: see ``privacy``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from maestro_eval.exports.answers import searches, written
from maestro_eval.exports.card import model_card, readme
from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.options import Options
from maestro_eval.exports.privacy import Scrubber, public_manifest
from maestro_eval.exports.source import Row, Source, policy_usage
from maestro_eval.exports.submitted import (
    CARD,
    MANIFEST,
    README,
    RESULTS,
    SUMS,
    Gold,
    SubmittedRow,
    results_of,
    samples_name,
)
from maestro_eval.exports.writing import sha256_of, write_json, write_lines
from maestro_eval.files import write_atomic
from maestro_eval.records import Exhausted, Failed, Rollout, Sample, TaskRecord, UserError
from maestro_eval.scoring import check_protocol, judge_of, released_text


def export(source: Source, out: Path, options: Options) -> list[Path]:
    """Write the folder ``out``. Raise UserError if it is not empty or the run is incomplete without permission."""
    _refuse_incomplete(source, options)
    _refuse_filled(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    try:
        names = _fill(stage, source, options)
        # mkdtemp makes private folders, but others read a submission.
        stage.chmod(0o755)
        os.replace(stage, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return [out / name for name in names]


EXPORTER = Exporter(export, folder="submission", options=("allow_incomplete", "with_targets"))


def _fill(folder: Path, source: Source, options: Options) -> list[str]:
    manifest = public_manifest(source.manifest, options.scrubber)
    names = [samples_name(task.name) for task in source.tasks]
    for task, name in zip(source.tasks, names, strict=True):
        write_lines(folder / name, _rows(source, task, options))
    # The numbers come from the files just written, which are what a verifier reads.
    results = results_of(folder, manifest, source.protocol)
    found = {name: numbers.accuracy.value for name, numbers in results.tasks.items()}
    if found != source.accuracies:
        raise AssertionError(f"the samples written do not give the run's accuracies: {found}, {source.accuracies}")
    write_json(folder / MANIFEST, manifest)
    write_json(folder / RESULTS, results)
    write_atomic(folder / CARD, model_card(manifest, results))
    write_atomic(folder / README, readme(manifest, results))
    listed = sorted([*names, MANIFEST, RESULTS, CARD, README])
    write_atomic(folder / SUMS, "".join(f"{sha256_of(folder / name)}  {name}\n" for name in listed))
    return [*listed, SUMS]


def _rows(source: Source, task: TaskRecord, options: Options) -> Iterator[SubmittedRow]:
    for row in source.rows(task.name):
        yield _row(row, task, source.protocol, options)


def _row(row: Row, task: TaskRecord, protocol: str, options: Options) -> SubmittedRow:
    score, scrubber = row.score, options.scrubber
    judged = SubmittedRow(
        task=score.task,
        sample_id=score.sample_id,
        repeat=score.repeat,
        content_hash=score.content_hash,
        outcome="never ran",
        value=score.value,
        extracted=scrubber.answer(score.extracted),
        note=scrubber.text(score.note),
        category=score.category,
        stratum=score.stratum,
        cluster=score.cluster,
        others=score.others,
    )
    rollout = row.rollout
    if rollout is None:
        return judged
    calls = [call for turn in rollout.turns for call in turn.calls]
    usage = policy_usage(rollout)
    outcome = rollout.outcome
    failed = isinstance(outcome, Failed)
    return structs.replace(
        judged,
        outcome="failed" if failed else "exhausted" if isinstance(outcome, Exhausted) else "answered",
        answer=None if row.answer is None else scrubber.answer(row.answer),
        limit=outcome.limit if isinstance(outcome, Exhausted) else None,
        cause=outcome.cause if isinstance(outcome, Failed) else None,
        turns=len(rollout.turns),
        searches=searches(rollout),
        calls=len(calls),
        cached_calls=sum(call.cached for call in calls),
        missing=_missing(rollout),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        elapsed_s=round(rollout.timing.elapsed_s, 3),
        gold=_gold(row.sample, rollout, task, protocol, scrubber) if options.with_targets else None,
    )


def _gold(sample: Sample | None, rollout: Rollout, task: TaskRecord, protocol: str, scrubber: Scrubber) -> Gold | None:
    if sample is None or not judged_again(task, protocol):
        return None
    # The released rules read the text that their style recorded; others compare with the policy's whole text.
    words = scrubber.answer(released_text(rollout) if protocol == "released" else written(rollout))
    return Gold(sample.question, sample.targets, sample.choices, sample.fields, words)


def judged_again(task: TaskRecord, protocol: str) -> bool:
    """Return True if the submission alone is enough to judge the task's answers, without running programs.

    Return True for an unknown rule too, so that judging reports it.
    """
    try:
        return judge_of(task, check_protocol(protocol)).is_self_contained
    except UserError:
        return True


def _missing(rollout: Rollout) -> dict[str, int]:
    return dict(sorted(Counter(each.service for each in rollout.missing_evidence).items()))


def _refuse_incomplete(source: Source, options: Options) -> None:
    reasons = source.shortcomings
    if reasons and not options.allow_incomplete:
        raise UserError(
            f"{source.folder}: not a whole run: {'; '.join(reasons)}; resume it, or submit it as it is with "
            "--allow-incomplete, which the submission states"
        )


def _refuse_filled(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out}: not a folder; choose another --out")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; remove it, or choose another --out")
