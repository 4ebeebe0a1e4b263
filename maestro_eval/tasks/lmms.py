"""Any image task of lmms-eval as one of ours: ``lmms:NAME``, through lmms-eval's own loader.

The question is the text that lmms-eval would send to a chat model, with its default prompts, and the images are its
images, as PNG. The row goes with the sample as JSON, without images, so that scoring needs no dataset. Rows are known
by their position, because lmms-eval knows no other name for them.

The data is lmms-eval's: from the hub, or from a local folder or file that takes its place. What is opened here runs
lmms-eval's code over that data; whatever goes wrong in one row is that sample's failure.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from maestro_eval.files import fingerprint, is_plain, shown
from maestro_eval.records import Aggregation, Image, LoadedSample, ModelJudge, Sample, SampleError, UserError
from maestro_eval.tasks.image_decoding import BadImageError, EncodedImage, decode
from maestro_eval.tasks.lmms_config import PREFIX, LmmsRules, check_judge, lmms_rules

# An image that a dataset keeps as text (HR-Bench: megabytes of base64) is none of a scorer's business.
_LONGEST_TEXT = 100_000
_REVISION = re.compile(r"@([0-9a-f]{40})/")
_BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".arrow": "arrow"}
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


class LmmsTask:
    """An opened task of lmms-eval. Safe to share between threads; open it again in other processes.

    ``task`` is lmms-eval's own, of its chat kind, with its data loaded.
    """

    metric = "lmms"
    metric_file = metric_hash = ""
    model_judge: ModelJudge | None = None
    aggregation: Aggregation = "mean"
    released = ""
    tags: tuple[str, ...] = ()

    def __init__(self, name: str, definition_hash: str, task: Any, data: str) -> None:
        self.name = name
        self.hash = definition_hash
        self.data = data
        self._task = task
        self._docs = task.eval_docs
        self._rows = task.eval_docs_no_media
        self.size = len(self._docs)
        self.revision = _revision(self._docs)
        # Whether rows given by path stand in for a dataset is not known of lmms-eval's tasks, nor is a size.
        self.hub = ""
        # The functions of task files were written for one thread each.
        self._lock = threading.Lock()

    @property
    def data_hash(self) -> str:
        """Of the hub's revision, or of the rows where the data is local. Images are in each ``content_hash``."""
        identity = self.revision or [self._row(number) for number in range(len(self._rows))]
        return fingerprint({"task": self.name, "rows": len(self._docs), "data": identity})

    def ids(self, limit: int | None = None) -> list[str]:
        """The samples in the order of the data, the first ``limit`` of them."""
        return [str(number) for number in range(len(self._docs))][:limit]

    def categories(self) -> dict[str, str]:
        """No categories: lmms-eval keeps them inside its aggregations."""
        return dict.fromkeys(self.ids(), "")

    def picture_hash(self, name: str) -> str:
        """No image of such a task is known by a file's name."""
        return ""

    def load(self, sample_id: str) -> LoadedSample:
        """The sample with its images. SampleError for a row that cannot be asked."""
        if not (sample_id.isascii() and sample_id.isdecimal() and int(sample_id) < len(self._docs)):
            raise UserError(f"{self.data or self.name}: {self.name} has no sample {sample_id!r}")
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
            line = " ".join(f"{kind}: {error}".split())[:200]
            raise SampleError(f"lmms-eval cannot show it ({line})", sample, f"lmms-eval's {kind}") from error
        return identified(structs.replace(sample, question=question), images)

    def _row(self, number: int) -> str:
        return row_as_json(self._rows[number])


def open_lmms_task(name: str, data: str = "") -> LmmsTask:
    """Open ``lmms:NAME``, from the hub or from a local folder or file. UserError where it cannot be run here."""
    rules = lmms_rules(name)
    check_judge(rules)
    config = {**rules.config, **(_local(rules, Path(data)) if data else _without_token(rules.config))}
    try:
        from lmms_eval.api.task import ConfigurableMessagesTask

        with contextlib.redirect_stdout(sys.stderr), _patience(tries=1 if data else 2):
            task = ConfigurableMessagesTask(config=config)
    except Exception as error:
        cause = _last_attempt(error)
        line = " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
        give = f"correct --data {name}={data}" if data else f"give local data with --data {name}=PATH"
        where = data or rules.config.get("dataset_path")
        raise UserError(f"{name}: lmms-eval cannot open {where} ({line}); {give}") from error
    return LmmsTask(f"{PREFIX}{rules.name}", rules.hash, task, data)


def targets_of(target: object) -> tuple[str, ...]:
    """What lmms-eval calls the target, as texts. Numbers in a list are one target, a box for instance."""
    if isinstance(target, (list, tuple)) and len(target) > 1 and all(isinstance(one, (int, float)) for one in target):
        target = str(list(target))
    many = target if isinstance(target, (list, tuple)) else [target]
    return tuple(str(one) for one in many if one is not None and str(one).strip())


def content_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """The text of chat messages and their images in order. ValueError for media that is no image."""
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


def row_as_json(doc: Mapping[str, Any]) -> str:
    """A row as JSON, without what is no text, number, list or mapping, and without encoded images."""
    return json.dumps(_plain(doc))


def identified(sample: Sample, images: tuple[Image, ...]) -> LoadedSample:
    """The sample with its images and the hash of all that is asked and expected."""
    hashes = [image.ref.sha256 for image in images]
    content = {"question": sample.question, "choices": sample.choices, "targets": sample.targets, "images": hashes}
    return LoadedSample(
        structs.replace(
            sample,
            images=tuple(image.ref for image in images),
            cluster=fingerprint(hashes)[:16] if hashes else "",
            content_hash=fingerprint(content),
        ),
        images,
    )


_LEFT_OUT = object()


def _plain(value: object) -> object:
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else _LEFT_OUT
    if isinstance(value, Mapping):
        items = {str(key): _plain(one) for key, one in value.items()}
        return {key: one for key, one in items.items() if one is not _LEFT_OUT}
    if isinstance(value, (list, tuple)):
        # Places count in a list, so what is left out leaves a gap.
        return [None if one is _LEFT_OUT else one for one in map(_plain, value)]
    return str(value) if hasattr(value, "isoformat") else _LEFT_OUT


def _image(picture: Any) -> Image:
    """Whatever a task file gives as an image: Pillow's, encoded bytes, or the path of a file."""
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
    # Saving it would lose the camera's note of how it was turned.
    seen = picture if is_plain(picture) else shown(picture)
    (seen if seen.mode in _PNG_MODES else seen.convert("RGB")).save(encoded, format="PNG")
    return decode(EncodedImage(encoded.getvalue()))


def _local(rules: LmmsRules, path: Path) -> dict[str, Any]:
    """The keys that make lmms-eval read ``path`` in place of the hub."""
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
        # As the hub names the files of a split; a folder that holds one split alone need not.
        return [str(one.resolve()) for one in files if one.stem.split("-")[0] == name]

    data_files = {split: of(split) or [str(one.resolve()) for one in files]}
    # lmms-eval opens these splits of some tasks too, for examples that a prompt without shots has none of.
    for other in (rules.config.get("training_split"), rules.config.get("fewshot_split")):
        if other and other != split and (of(other) or not rules.config.get("num_fewshot")):
            data_files[other] = of(other) or data_files[split]
    return {"dataset_path": kinds.pop(), "dataset_name": None, "dataset_kwargs": {"data_files": data_files}}


def _without_token(config: Mapping[str, Any]) -> dict[str, Any]:
    """Most datasets are public: where the user has no token, lmms-eval's ``token: true`` must not stop anybody."""
    from huggingface_hub import get_token

    kwargs = config.get("dataset_kwargs") or {}
    if "token" not in kwargs or get_token():
        return {"dataset_kwargs": dict(kwargs) or None}
    return {"dataset_kwargs": {key: value for key, value in kwargs.items() if key != "token"} or None}


@contextlib.contextmanager
def _patience(tries: int) -> Iterator[None]:
    """lmms-eval tries five times, ten seconds in all, what mostly fails the same way each time."""
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
    """The hub's commit from which ``datasets`` says that the rows came; empty for local data."""
    sources = getattr(getattr(docs, "info", None), "download_checksums", None) or {}
    found = {match.group(1) for match in map(_REVISION.search, map(str, sources)) if match}
    return found.pop() if len(found) == 1 else ""
