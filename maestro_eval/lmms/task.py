"""Adapts an image task of lmms-eval as our task ``lmms:NAME``, with lmms-eval's loader.

The question is the text that lmms-eval would send to a chat model, with its default prompts; the images are its images,
as PNG. The sample contains the row as JSON, without images, so that scoring needs no dataset. A sample's id is the
row's position, because lmms-eval has no other name for it.

The data comes from the hub, or from a local folder or file instead. lmms-eval's code reads it; an error in one row is
that sample's failure.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from maestro_eval.files import fingerprint, is_plain, shown
from maestro_eval.lmms.config import LmmsRules, check_judge, lmms_rules
from maestro_eval.records import Image, LoadedSample, Sample, SampleError, TaskRecord, UserError
from maestro_eval.tasks import LMMS, BadImageError, EncodedImage, Task, decode, identified, row_as_json
from maestro_eval.text import one_line

_REVISION = re.compile(r"@([0-9a-f]{40})/")
_BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".arrow": "arrow"}
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


class LmmsTask(Task):
    """An opened task of lmms-eval; ``task`` is lmms-eval's chat task with its data loaded."""

    def __init__(self, name: str, definition_hash: str, task: Any, data: str) -> None:
        self._task = task
        self._docs = task.eval_docs
        self._rows = task.eval_docs_no_media
        # No hub id is given, because rows given by path may not replace a dataset of the hub.
        revision = _revision(self._docs)
        super().__init__(TaskRecord(name, definition_hash, "lmms", "mean", (), data, "", 0, revision=revision))
        # The functions of task files are not thread-safe.
        self._lock = threading.Lock()

    @property
    def data_hash(self) -> str:
        """The hash of the hub's revision, or of the rows of local data. Only a ``content_hash`` covers the images."""
        identity = self.record.revision or [self._row(number) for number in range(len(self._rows))]
        return fingerprint({"task": self.name, "rows": len(self._docs), "data": identity})

    def ids(self, limit: int | None = None) -> list[str]:
        return [str(number) for number in range(len(self._docs))][:limit]

    def categories(self) -> dict[str, str]:
        # lmms-eval has categories only inside its aggregations.
        return dict.fromkeys(self.ids(), "")

    def load(self, sample_id: str) -> LoadedSample:
        if not (sample_id.isascii() and sample_id.isdecimal() and int(sample_id) < len(self._docs)):
            raise UserError(f"{self.record.data or self.name}: {self.name} has no sample {sample_id!r}")
        sample = Sample(task=self.name, sample_id=sample_id, question="", targets=())
        try:
            with self._lock:
                doc = self._docs[int(sample_id)]
                messages = self._task.doc_to_messages(doc)
                target = self._task.doc_to_target(doc)
                row = self._row(int(sample_id))
            sample = structs.replace(sample, targets=targets_of(target), fields={"doc": row})
            question, pictures = content_of(messages)
            images = tuple(_image(picture) for picture in pictures)
        except BadImageError as error:
            raise SampleError(str(error), sample, "unreadable image") from error
        except Exception as error:
            kind = type(error).__name__
            line = one_line(f"{kind}: {error}")[:200]
            raise SampleError(f"lmms-eval cannot show it ({line})", sample, f"lmms-eval's {kind}") from error
        return identified(structs.replace(sample, question=question), images)

    def _row(self, number: int) -> str:
        return row_as_json(self._rows[number])


def open_lmms_task(name: str, data: str = "") -> LmmsTask:
    """Open ``lmms:NAME``, from the hub or from a local folder or file. Raise UserError if it cannot be run here."""
    rules = lmms_rules(name)
    check_judge(rules)
    config = {**rules.config, **(_local(rules, Path(data)) if data else _without_token(rules.config))}
    try:
        from lmms_eval.api.task import ConfigurableMessagesTask

        with contextlib.redirect_stdout(sys.stderr), _limited_tries(tries=1 if data else 2):
            task = ConfigurableMessagesTask(config=config)
    except Exception as error:
        cause = _last_attempt(error)
        line = one_line(f"{type(cause).__name__}: {cause}")[:200]
        give = f"correct --data {name}={data}" if data else f"give local data with --data {name}=PATH"
        where = data or rules.config.get("dataset_path")
        raise UserError(f"{name}: lmms-eval cannot open {where} ({line}); {give}") from error
    return LmmsTask(f"{LMMS}{rules.name}", rules.hash, task, data)


def targets_of(target: object) -> tuple[str, ...]:
    """Return lmms-eval's target as texts. A list of numbers is one target, such as a box."""
    if isinstance(target, (list, tuple)) and len(target) > 1 and all(isinstance(one, (int, float)) for one in target):
        target = str(list(target))
    many = target if isinstance(target, (list, tuple)) else [target]
    return tuple(str(one) for one in many if one is not None and str(one).strip())


def content_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """Return the text and the images of chat messages, in order. Raise ValueError without either or for other media."""
    texts: list[str] = []
    pictures: list[Any] = []
    for message in messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            match part.get("type"):
                case "text":
                    texts.append(part["text"])
                case "image":
                    pictures.append(part["url"])
                case kind:
                    raise ValueError(f"it shows {kind}; only images can be asked about")
    question = "\n".join(text for text in texts if text.strip())
    if not question:
        raise ValueError("it has no question")
    if not pictures:
        raise ValueError("it has no image")
    return question, pictures


def _image(picture: Any) -> Image:
    """Decode an image of a task file: a Pillow image, encoded bytes, or a path."""
    if isinstance(picture, Mapping):
        picture = picture.get("bytes") or picture.get("path")
    if isinstance(picture, str):
        try:
            return decode(EncodedImage(Path(picture).read_bytes(), Path(picture).name))
        except (OSError, ValueError) as error:
            raise BadImageError(
                f"the image file cannot be read ({getattr(error, 'strerror', None) or error})"
            ) from error
    if isinstance(picture, bytes):
        return decode(EncodedImage(picture))
    encoded = io.BytesIO()
    # Saving would lose the EXIF orientation, so it is applied first.
    seen = picture if is_plain(picture) else shown(picture)
    (seen if seen.mode in _PNG_MODES else seen.convert("RGB")).save(encoded, format="PNG")
    return decode(EncodedImage(encoded.getvalue()))


def _local(rules: LmmsRules, path: Path) -> dict[str, Any]:
    """Return the settings that make lmms-eval read ``path`` instead of the hub."""
    split = rules.config.get("test_split") or rules.config.get("validation_split")
    if (path / "dataset_dict.json").is_file():
        return {"dataset_path": str(path), "dataset_name": None, "dataset_kwargs": {"load_from_disk": True}}
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix in _BUILDERS)
    if (path / "state.json").is_file():
        files = [one for one in files if one.suffix == ".arrow"]
    kinds = {_BUILDERS.get(one.suffix, "") for one in files}
    if len(kinds) != 1 or "" in kinds:
        found = f"files of {len(kinds)} kinds" if kinds else "no data files"
        raise UserError(f"{path}: {found}; expected Parquet, JSON, CSV or Arrow files, or a save_to_disk folder")

    def of(name: object) -> list[str]:
        # The hub names files by split; a folder with a single split need not.
        return [str(one.resolve()) for one in files if one.stem.split("-")[0] == name]

    data_files = {split: of(split) or [str(one.resolve()) for one in files]}
    # For few-shot examples, lmms-eval opens these splits of some tasks too.
    for other in (rules.config.get("training_split"), rules.config.get("fewshot_split")):
        if other and other != split and (of(other) or not rules.config.get("num_fewshot")):
            data_files[other] = of(other) or data_files[split]
    return {"dataset_path": kinds.pop(), "dataset_name": None, "dataset_kwargs": {"data_files": data_files}}


def _without_token(config: Mapping[str, Any]) -> dict[str, Any]:
    """Drop lmms-eval's ``token: true`` if the user has no token, since most datasets are public."""
    from huggingface_hub import get_token

    kwargs = config.get("dataset_kwargs") or {}
    if "token" not in kwargs or get_token():
        return {"dataset_kwargs": dict(kwargs) or None}
    return {"dataset_kwargs": {key: value for key, value in kwargs.items() if key != "token"} or None}


@contextlib.contextmanager
def _limited_tries(tries: int) -> Iterator[None]:
    """Limit lmms-eval's five tries of a download, ten seconds in all, to ``tries``."""
    from lmms_eval.api.task import ConfigurableTask
    from tenacity import stop_after_attempt

    retrying: Any = ConfigurableTask.download.retry
    before: Callable[..., bool] = retrying.stop
    retrying.stop = stop_after_attempt(tries)
    try:
        yield
    finally:
        retrying.stop = before


def _last_attempt(error: BaseException) -> BaseException:
    attempt = getattr(error, "last_attempt", None)
    cause = attempt.exception() if attempt is not None else None
    return cause if isinstance(cause, BaseException) else error


def _revision(docs: Any) -> str:
    """Return the hub's commit of the rows, as ``datasets`` records it; empty for local data."""
    sources = getattr(getattr(docs, "info", None), "download_checksums", None) or {}
    found = {match.group(1) for match in map(_REVISION.search, map(str, sources)) if match}
    return found.pop() if len(found) == 1 else ""
