"""The split of a task as local files, fetched from the Hugging Face hub.

A repository of JSON with a zip file of images is downloaded as it is. Any other goes through ``datasets``: whole, into
the cache of ``datasets``, so that data already on this machine is used (it downloads every split of the configuration,
not only the requested one); or, if a few samples are enough, as a stream of which the needed rows alone are stored, in
a Parquet file under ``$MAESTRO_EVAL_CACHE``. Code that comes with a dataset is never run.

The revision is that of the fetched data: the requested commit, or the one in the cache of ``datasets``. It is empty
only if neither is known.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import IMAGE_TYPES
from maestro_eval.tasks.task_yaml import Definition
from maestro_eval.text import one_line

_TIMEOUT_S = 10.0
# The batch that 'datasets' writes and that we later load at once: with 8K frames a row has some 30 MB.
_BATCH_ROWS = 8
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Fetched(Struct, frozen=True):
    """A file or folder that ``open_source`` reads, and the commit of its repository."""

    path: Path
    revision: str


def fetch(definition: Definition, first: int | None = None) -> Fetched:
    """Fetch the task's split; with ``first``, at least that many of its first samples.

    UserError in one line: no ``datasets`` installed, hub not reachable, dataset missing or gated, no such split.
    """
    _require(definition)
    with _explained(definition):
        revision = _resolve(definition)
        if definition.images_in:
            return _download(definition, revision)
        if first is None or _is_built(definition, revision):
            return _build(definition, revision)
        return _stream(definition, revision, first)


def cache_folder() -> Path:
    """Return the folder of streamed data: ``$MAESTRO_EVAL_CACHE``, else ``~/.cache/maestro-eval``."""
    return Path(os.environ.get("MAESTRO_EVAL_CACHE") or Path.home() / ".cache" / "maestro-eval")


def _require(definition: Definition) -> None:
    try:
        import datasets  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        import huggingface_hub  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{definition.name}: no data given; pip install 'maestro-eval[hub]' to fetch {definition.dataset_path} "
            f"(split {definition.split}) from the Hugging Face hub, or pass --data {definition.name}=PATH, "
            f"a Parquet file or a folder of them ({error})"
        ) from None


def _resolve(definition: Definition) -> str:
    """Return the commit of the requested revision; empty if the hub is unreachable and the cache may have a copy."""
    from huggingface_hub import HfApi

    if _COMMIT.fullmatch(definition.revision) or Path(definition.dataset_path).is_dir():
        return definition.revision
    try:
        info = HfApi().dataset_info(definition.dataset_path, revision=definition.revision or None, timeout=_TIMEOUT_S)
    except Exception as error:
        if _is_unreachable(error) and _is_cached(definition):
            return ""
        raise
    return info.sha or ""


def _is_cached(definition: Definition) -> bool:
    import datasets
    from huggingface_hub import constants

    name = definition.dataset_path
    built = Path(datasets.config.HF_DATASETS_CACHE) / name.replace("/", "___")
    downloaded = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}"
    return built.is_dir() or downloaded.is_dir()


def _is_built(definition: Definition, revision: str) -> bool:
    """Return whether the cache of ``datasets`` has this whole commit."""
    import datasets

    folder = Path(datasets.config.HF_DATASETS_CACHE) / definition.dataset_path.replace("/", "___")
    return bool(revision) and any((folder / (definition.dataset_name or "default")).glob(f"*/{revision}"))


def _download(definition: Definition, revision: str) -> Fetched:
    import huggingface_hub

    def get(name: str) -> Path:
        return Path(
            huggingface_hub.hf_hub_download(
                definition.dataset_path, name, repo_type="dataset", revision=revision or definition.revision or None
            )
        )

    rows = get(f"{definition.split}.json")
    # Both are in one folder, which is named by its commit.
    get(f"{definition.images_in}.zip")
    return Fetched(rows, revision or _commit_of(rows.parent))


def _build(definition: Definition, revision: str) -> Fetched:
    built = _loaded(definition, revision, writer_batch_size=_BATCH_ROWS)
    files = [Path(one["filename"]) for one in built.cache_files]
    if not files:
        raise UserError(f"{definition.name}: {definition.dataset_path}: 'datasets' kept no file of it; give --data")
    folder = files[0].parent
    return Fetched(files[0] if len(files) == 1 else folder, revision or _commit_of(folder))


def _loaded(definition: Definition, revision: str, **how: Any) -> Any:
    import datasets

    return datasets.load_dataset(
        definition.dataset_path,
        definition.dataset_name or None,
        split=definition.split,
        revision=revision or definition.revision or None,
        **how,
    )


def _commit_of(folder: Path) -> str:
    return folder.name if _COMMIT.fullmatch(folder.name) else ""


def _stream(definition: Definition, revision: str, first: int) -> Fetched:
    split = fingerprint([definition.dataset_name, definition.split, definition.hash if definition.keep else ""])[:8]
    folder = cache_folder() / "hub" / definition.dataset_path.strip("/").replace("/", "--")
    target = folder / f"{definition.split}-{split}-first{first}-{revision or 'unknown'}.parquet"
    # The name has the commit, so an existing file equals what would be fetched.
    if revision and target.is_file():
        return Fetched(target, revision)
    if not revision and not Path(definition.dataset_path).is_dir():
        kept = sorted(folder.glob(f"{definition.split}-{split}-first{first}-*.parquet"), key=os.path.getmtime)
        # Without the hub, use any commit on this machine: of its first rows, else of all.
        return Fetched(kept[-1], kept[-1].stem[-40:]) if kept else _build(definition, revision)
    rows = _loaded(definition, revision, streaming=True)
    folder.mkdir(parents=True, exist_ok=True)
    written = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        _write(rows.decode(False).with_format("arrow"), written, _until(definition, first))
        os.replace(written, target)
    finally:
        written.unlink(missing_ok=True)
    return Fetched(target, revision)


def _until(definition: Definition, first: int) -> Callable[[Any], int | None]:
    """Return a function that counts the wanted rows of the next table: None for all of them, and more after it."""
    left = first

    def wanted(table: Any) -> int | None:
        nonlocal left
        for number, row in enumerate(_read(definition, table), start=1):
            if definition.keep is None or definition.keep(row):
                left -= 1
            if left == 0:
                return number
        return None

    return wanted


def _read(definition: Definition, table: Any) -> list[dict[str, Any]]:
    """Return the rows without images, for ``keep``."""
    if definition.keep is None:
        return [{}] * int(table.num_rows)
    names = [name for name, column in definition.columns.items() if column.type not in IMAGE_TYPES]
    rows: list[dict[str, Any]] = table.select([name for name in names if name in table.column_names]).to_pylist()
    return rows


def _write(rows: Any, file: Path, wanted: Callable[[Any], int | None]) -> None:
    import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]

    writer = None
    try:
        for table in rows.iter(batch_size=_BATCH_ROWS):
            end = wanted(table)
            # The dataset's own metadata on its columns, which only its library reads, is omitted.
            table = table.slice(0, end).replace_schema_metadata(None)
            writer = writer or pyarrow.parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
            if end is not None:
                break
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError("the split holds no rows")


@contextlib.contextmanager
def _explained(definition: Definition) -> Iterator[None]:
    """Convert the errors of the hub's libraries to one line with the fix."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        what = f"{definition.name}: {definition.dataset_path}"
        raise UserError(f"{what}: {_reason(definition, error)}; or pass --data {definition.name}=PATH") from error


def _reason(definition: Definition, error: Exception) -> str:
    text = one_line(str(error))
    kinds = _kinds(error)
    if "GatedRepoError" in kinds or "gated dataset" in text.lower():
        page = f"https://huggingface.co/datasets/{definition.dataset_path}"
        return f"is gated; accept its terms on {page} and log in with 'hf auth login'"
    if kinds & {"RevisionNotFoundError", "RevisionResolutionError"}:
        return f"has no revision {definition.revision or 'main'}; correct metadata.maestro.revision"
    if kinds & {"RepositoryNotFoundError", "DefunctDatasetError"} or (
        "DatasetNotFoundError" in kinds and not _is_unreachable(error)
    ):
        return "the hub has no such dataset, or it is private: log in with 'hf auth login'"
    if text.startswith(("Unknown split", "Bad split")):
        return f"has no split {definition.split} ({text[:150]})"
    if "BuilderConfig" in text:
        return f"has no configuration {definition.dataset_name or 'by default'} ({text[:150]})"
    if kinds & {"RemoteEntryNotFoundError"}:
        return f"has not the files {definition.split}.json and {definition.images_in}.zip ({text[:150]})"
    if "scripts are no longer supported" in text:
        return "is loaded by code of its own, which is never run; download it"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; free some space, or set HF_HOME and MAESTRO_EVAL_CACHE to another one"
    if _is_unreachable(error):
        return f"the Hugging Face hub cannot be reached, and the cache has no copy ({type(error).__name__})"
    return f"cannot be fetched ({type(error).__name__}: {text[:200]})"


def _is_unreachable(error: BaseException) -> bool:
    return bool(
        _kinds(error)
        & {"ConnectionError", "ConnectError", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "TimeoutError"}
        | _kinds(error) & {"TimeoutException", "TransportError", "RequestException", "ClientError"}
    )


def _kinds(error: BaseException) -> frozenset[str]:
    """Return the class names of an exception and of its causes, so that their libraries need not be imported."""
    kinds: set[str] = set()
    step: BaseException | None = error
    while step is not None:
        kinds |= {kind.__name__ for kind in type(step).__mro__}
        step = step.__cause__
    return frozenset(kinds)
