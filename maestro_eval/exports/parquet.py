"""Writes ``rollouts.parquet``, a row per planned rollout, and ``calls.parquet``, a row per model call.

Unknown values are null, never 0 or "": a failed rollout has no score, one that never ran has no turns. Rows are
streamed in row groups, so a run of any size needs the memory of one group. Unlike the formats for publication, these
tables contain the run as it was recorded, endpoints included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.exports.answers import searches
from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.options import Options
from maestro_eval.exports.source import SECONDS_TO_US, Row, Source, policy_usage
from maestro_eval.files import atomic_file
from maestro_eval.records import Answered, Exhausted, ExpertCall, Failed, Rollout, Timing

if TYPE_CHECKING:
    from arro3.core import Array, DataType, RecordBatch, Schema

# A row's transcript is a few kB, so a group is some tens of MB at most.
_GROUP = 2048

_TEXT, _WHOLE, _REAL, _FLAG, _TEXTS, _TIME = "text", "whole", "real", "flag", "texts", "time"
_OFFSET = "offset"


class Column(Struct, frozen=True):
    """A column; ``kind`` is the type of its values."""

    name: str
    kind: str
    nullable: bool = False


ROLLOUTS = (
    Column("system", _TEXT), Column("task", _TEXT), Column("sample_id", _TEXT), Column("repeat", _WHOLE),
    Column("outcome", _TEXT), Column("score", _REAL, True), Column("protocol", _TEXT), Column("metric", _TEXT),
    Column("answer", _TEXT, True), Column("extracted", _TEXT, True), Column("note", _TEXT, True),
    Column("failure_cause", _TEXT, True), Column("failure_detail", _TEXT, True), Column("exhausted", _TEXT, True),
    Column("question", _TEXT, True), Column("targets", _TEXTS, True), Column("choices", _TEXTS, True),
    Column("images", _TEXTS, True), Column("category", _TEXT, True), Column("stratum", _TEXT, True),
    Column("cluster", _TEXT, True), Column("content_hash", _TEXT, True), Column("searches", _TEXTS, True),
    Column("turns", _WHOLE, True), Column("calls", _WHOLE, True), Column("cached_calls", _WHOLE, True),
    Column("prompt_tokens", _WHOLE, True), Column("completion_tokens", _WHOLE, True),
    Column("transcript", _TEXT, True), Column("seed", _WHOLE, True), Column("worker", _TEXT, True),
    Column("started_at", _TIME, True), Column("elapsed_s", _REAL, True),
)  # fmt: skip

CALLS = (
    Column("system", _TEXT), Column("task", _TEXT), Column("sample_id", _TEXT), Column("repeat", _WHOLE),
    Column("turn", _WHOLE), Column("call", _WHOLE), Column("kind", _TEXT), Column("name", _TEXT),
    Column("model", _TEXT), Column("endpoint", _TEXT), Column("expert", _TEXT, True), Column("skill", _TEXT, True),
    Column("request", _TEXT), Column("reply", _TEXT, True), Column("images", _TEXTS),
    Column("finish_reason", _TEXT, True), Column("error", _TEXT, True), Column("tries", _WHOLE),
    Column("cached", _FLAG), Column("prompt_tokens", _WHOLE), Column("completion_tokens", _WHOLE),
    Column("started_at", _TIME, True), Column("elapsed_s", _REAL),
)  # fmt: skip


def export(source: Source, out: Path, options: Options) -> list[Path]:
    """Write both tables. Raise UserError if the disk is full."""
    tables = (("rollouts.parquet", ROLLOUTS, _rollouts), ("calls.parquet", CALLS, _calls))
    return [_write(out / name, columns, records, source) for name, columns, records in tables]


EXPORTER = Exporter(export, folder="")


def _write(
    path: Path, columns: tuple[Column, ...], records: Callable[[Source], Iterator[dict[str, Any]]], source: Source
) -> Path:
    from arro3.core import Field, RecordBatchReader, Schema
    from arro3.io import write_parquet

    schema = Schema([Field(column.name, _types()[column.kind], nullable=column.nullable) for column in columns])
    raised: list[BaseException] = []
    with atomic_file(path) as file:
        reader = RecordBatchReader.from_batches(schema, _batches(records(source), columns, schema, raised))
        try:
            write_parquet(reader, file, compression="zstd(3)", max_row_group_size=_GROUP)
        except Exception as error:
            # Rust drops the type of an exception raised in Python while it reads rows, so it is kept in `raised`.
            if raised:
                raise raised[0] from error
            raise OSError(str(error)) from error
    return path


def _batches(
    records: Iterator[dict[str, Any]], columns: tuple[Column, ...], schema: Schema, raised: list[BaseException]
) -> Iterator[RecordBatch]:
    from arro3.core import RecordBatch

    try:
        while rows := list(islice(records, _GROUP)):
            arrays = [_array([row[column.name] for row in rows], column.kind) for column in columns]
            yield RecordBatch.from_arrays(arrays, schema=schema)
    except BaseException as error:
        raised.append(error)
        raise


def _types() -> dict[str, DataType]:
    from arro3.core import DataType, Field

    return {
        _TEXT: DataType.string(),
        _WHOLE: DataType.int64(),
        _REAL: DataType.float64(),
        _FLAG: DataType.bool(),
        _TEXTS: DataType.list(Field("item", DataType.string(), nullable=True)),
        _TIME: DataType.timestamp("us", tz="UTC"),
        _OFFSET: DataType.int32(),
    }


def _rollouts(source: Source) -> Iterator[dict[str, Any]]:
    for row in source.rows():
        yield _rollout(source, row)


def _rollout(source: Source, row: Row) -> dict[str, Any]:
    score, rollout, sample = row.score, row.rollout, row.sample
    failed = rollout.outcome if rollout and isinstance(rollout.outcome, Failed) else None
    calls = [call for turn in rollout.turns for call in turn.calls] if rollout else []
    usage = policy_usage(rollout) if rollout else None
    return {
        "system": source.manifest.system,
        "task": score.task,
        "sample_id": score.sample_id,
        "repeat": score.repeat,
        "outcome": _outcome(rollout),
        "score": score.value,
        "protocol": score.protocol,
        "metric": score.metric,
        "answer": row.answer,
        "extracted": score.extracted if score.value is not None else None,
        "note": score.note or None,
        "failure_cause": failed.cause if failed else None,
        "failure_detail": failed.detail if failed else None,
        "exhausted": rollout.outcome.limit if rollout and isinstance(rollout.outcome, Exhausted) else None,
        "question": sample.question if sample else None,
        "targets": list(sample.targets) if sample else None,
        "choices": list(sample.choices) if sample else None,
        "images": [image.sha256 for image in sample.images] if sample else None,
        "category": score.category or None,
        "stratum": score.stratum or None,
        "cluster": score.cluster or None,
        "content_hash": score.content_hash or None,
        "searches": searches(rollout) if rollout else None,
        "turns": len(rollout.turns) if rollout else None,
        "calls": len(calls) if rollout else None,
        "cached_calls": sum(call.cached for call in calls) if rollout else None,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "transcript": "\n".join(turn.text for turn in rollout.turns) if rollout else None,
        "seed": rollout.seed if rollout else None,
        "worker": rollout.worker if rollout else None,
        "started_at": _instant(rollout.timing) if rollout else None,
        "elapsed_s": rollout.timing.elapsed_s if rollout else None,
    }


def _calls(source: Source) -> Iterator[dict[str, Any]]:
    for row in source.rows():
        if row.rollout is None:
            continue
        for number, turn in enumerate(row.rollout.turns):
            found = turn.resolution
            for position, call in enumerate(turn.calls):
                yield {
                    "system": source.manifest.system,
                    "task": row.score.task,
                    "sample_id": row.score.sample_id,
                    "repeat": row.score.repeat,
                    "turn": number,
                    "call": position,
                    "expert": found.expert if found else None,
                    "skill": found.skill if found else None,
                    **_call(call),
                }


def _call(call: ExpertCall) -> dict[str, Any]:
    return {
        "kind": call.kind,
        "name": call.name,
        "model": call.model,
        "endpoint": call.endpoint,
        "request": call.request,
        "reply": None if call.error else call.reply,
        "images": list(call.images),
        "finish_reason": call.finish_reason or None,
        "error": call.error or None,
        "tries": call.tries,
        "cached": call.cached,
        "prompt_tokens": call.usage.prompt_tokens,
        "completion_tokens": call.usage.completion_tokens,
        "started_at": _instant(call.timing),
        "elapsed_s": call.timing.elapsed_s,
    }


def _outcome(rollout: Rollout | None) -> str:
    match rollout and rollout.outcome:
        case Answered():
            return "answered"
        case Exhausted():
            return "exhausted"
        case Failed():
            return "failed"
        case _:
            return "never ran"


def _instant(timing: Timing) -> int | None:
    return round(timing.started_at * SECONDS_TO_US) if timing.started_at else None


def _array(values: list[Any], kind: str) -> Array:
    from arro3.core import Array, list_array

    types = _types()
    if kind == _TIME:
        return Array(values, type=types[_WHOLE]).cast(types[_TIME])
    if kind != _TEXTS:
        return Array(values, type=types[kind])
    offsets = accumulate((len(each or ()) for each in values), initial=0)
    return list_array(
        Array(list(offsets), type=types[_OFFSET]),
        Array([text for each in values for text in each or ()], type=types[_TEXT]),
        type=types[_TEXTS],
        mask=Array([each is None for each in values], type=types[_FLAG]),
    )
