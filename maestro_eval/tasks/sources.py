"""Which files hold the rows of a task, and how they are read.

A path is a Parquet, Arrow, JSONL or JSON file, or a folder: of Parquet files, of a dataset that was saved with
``save_to_disk``, of a JSON file of the split, or laid out as its repository on the hub is. Where a folder holds
several splits, the one that the task asks is told by the files' names; a folder in which that cannot be told is
refused, since the wrong split would be measured without a word. The schema is checked before the first row is used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from maestro_eval.files import fingerprint
from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import Column
from maestro_eval.tasks.image_lookup import open_pictures
from maestro_eval.tasks.json_rows import JSON_SUFFIXES, JsonSource
from maestro_eval.tasks.parquet_source import ColumnarSource
from maestro_eval.tasks.rows import Source

_READABLE = "give a .parquet, .arrow, .jsonl or .json file, or a folder of them"
# What 'datasets' and the hub's tools write beside the data.
_NOT_DATA = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}
_SPLITS = {"train", "training", "valid", "val", "validation", "dev", "test", "testmini"}
_SHARD = re.compile(r"(?P<split>.+)-\d+-of-\d+")


def open_source(
    path: Path, columns: Mapping[str, Column], split: str = "", *, images_in: str = "", name: str = ""
) -> Source:
    """Open local data and check its schema. UserError for a path, a format or a column that is not as it must be.

    ``name`` is the dataset's configuration, which the hub keeps in a folder of that name; ``images_in`` where JSON
    data has its images.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    files = _files_in(path, split, name) if path.is_dir() else (path,)
    if files[0].suffix in JSON_SUFFIXES:
        return JsonSource(files[0], columns, open_pictures(files[0].parent, images_in))
    if files[0].suffix in (".parquet", ".arrow"):
        return ColumnarSource(files, columns)
    raise UserError(f"{path}: cannot be read as data; {_READABLE}")


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 of one file, or the fingerprint of several; remembered while size and time of change stay."""
    digests = []
    for file in files:
        state = file.stat()
        digests.append(_hash_file(file, state.st_size, state.st_mtime_ns))
    return digests[0] if len(digests) == 1 else fingerprint(digests)


@lru_cache(maxsize=256)
def _hash_file(file: Path, size: int, changed_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files_in(folder: Path, split: str, name: str) -> tuple[Path, ...]:
    """The files of the split, all of one kind."""
    if (folder / "dataset_dict.json").is_file():
        inner = folder / split
        if not split or not (inner / "state.json").is_file():
            there = ", ".join(sorted(state.parent.name for state in folder.glob("*/state.json")))
            raise UserError(f"{folder}: holds no split {split}; there are: {there or 'none'}")
        return _saved(inner)
    if (folder / "state.json").is_file():
        return _saved(folder)
    for inner in _places(folder, split, name):
        for suffix in (".parquet", ".arrow"):
            files = sorted(inner.glob(f"*{suffix}"))
            if files:
                return _of_split(inner, files, split)
    return (_json_of_split(folder, split),)


def _places(folder: Path, split: str, name: str) -> list[Path]:
    """Where the hub's repositories keep columnar files, the folder itself first."""
    places = [folder]
    places += [folder / name] if name else []
    places += [folder / "data", folder / "default"]
    places += [place / split for place in list(places)] if split else []
    return [place for place in places if place.is_dir() and place.resolve().is_relative_to(folder.resolve())]


def _of_split(folder: Path, files: Sequence[Path], split: str) -> tuple[Path, ...]:
    shards = {file: shard["split"] for file in files if (shard := _SHARD.fullmatch(file.stem))}
    splits = {file: shards.get(file, file.stem) for file in files}
    # 'datasets' puts the dataset's name before the split's in its cache.
    for names in ({split}, {of for of in splits.values() if of.endswith(f"-{split}")}):
        if split and (chosen := [file for file, of in splits.items() if of in names]):
            return tuple(chosen)
    tells_splits = shards or (len(files) > 1 and _SPLITS & set(splits.values()))
    if split and tells_splits:
        there = ", ".join(sorted(set(splits.values())))
        raise UserError(f"{folder}: holds no split {split}; there are: {there} (or give the file itself)")
    return tuple(files)


def _saved(folder: Path) -> tuple[Path, ...]:
    """The files of a dataset saved with ``save_to_disk``, in the order that its ``state.json`` gives."""
    state = folder / "state.json"
    try:
        written = msgspec.json.decode(state.read_bytes(), type=_State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{state}: cannot be read ({error}); save the dataset again") from error
    files = tuple(folder / one.filename for one in written.data_files)
    for file in files:
        # The name is data of others.
        if file.parent != folder or not file.is_file():
            raise UserError(f"{state}: names {file.name}, which is not beside it; save the dataset again")
    if not files:
        raise UserError(f"{state}: names no data file; save the dataset again")
    return files


def _json_of_split(folder: Path, split: str) -> Path:
    there = sorted(file for file in folder.iterdir() if file.suffix in JSON_SUFFIXES and file.name not in _NOT_DATA)
    of_split = [file for file in there if split and file.stem == split]
    chosen = of_split or there
    if len(chosen) == 1:
        return chosen[0]
    if not there:
        raise UserError(f"{folder}: holds no data; {_READABLE}")
    names = ", ".join(file.name for file in there)
    raise UserError(f"{folder}: which file is split {split}? There are {names}; give the file itself")


class _SavedFile(msgspec.Struct, frozen=True):
    filename: str


class _State(msgspec.Struct, frozen=True):
    data_files: tuple[_SavedFile, ...] = msgspec.field(name="_data_files")
