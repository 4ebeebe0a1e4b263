"""Parquet and Arrow with the column types that the hub's datasets have, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Field, Table, list_array, struct_array
from arro3.io import write_ipc_stream, write_parquet


def write_rows(path: Path, columns: Mapping[str, tuple[str, Sequence[Any]]], group: int | None = None) -> Path:
    """Write ``{name: (kind, values)}``; kinds are string, integer, boolean, float, binary, image and lists ``[kind]``.

    ``group`` is the number of rows in a row group.
    """
    arrays = {name: _array(kind, values) for name, (kind, values) in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(Table.from_pydict(arrays), path, max_row_group_size=group, compression="snappy")
    return path


def write_saved(folder: Path, columns: Mapping[str, tuple[str, Sequence[Any]]], files: int = 1) -> Path:
    """Write a folder as ``Dataset.save_to_disk`` does, the rows dealt to ``files`` IPC streams in order."""
    count = len(next(iter(columns.values()))[1])
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{number:05}-of-{files:05}.arrow" for number in range(files)]
    for number, name in enumerate(names):
        part = slice(count * number // files, count * (number + 1) // files)
        write_stream(folder / name, {column: (kind, values[part]) for column, (kind, values) in columns.items()})
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": None}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (folder / "dataset_info.json").write_text("{}", encoding="utf-8")
    return folder


def write_stream(path: Path, columns: Mapping[str, tuple[str, Sequence[Any]]]) -> Path:
    """Write one Arrow IPC stream, as the files of ``datasets`` are."""
    table = Table.from_pydict({name: _array(kind, values) for name, (kind, values) in columns.items()})
    write_ipc_stream(table, path, compression=None)
    return path


def png(width: int = 8, height: int = 6, colour: str = "red", file_format: str = "PNG") -> bytes:
    """A small picture, encoded."""
    from PIL import Image

    encoded = BytesIO()
    Image.new("RGB", (width, height), colour).save(encoded, file_format)
    return encoded.getvalue()


def _array(kind: str, values: Sequence[Any]) -> Any:
    if kind.startswith("["):
        items = _array(kind[1:-1], [item for value in values for item in value])
        offsets = list(accumulate((len(value) for value in values), initial=0))
        return list_array(Array(offsets, type=DataType.int32()), items)
    if kind == "image":
        encoded = Array(list(values), type=DataType.binary())
        paths = Array([f"{number}.png" for number, _ in enumerate(values)], type=DataType.string())
        return struct_array([encoded, paths], fields=[Field("bytes", encoded.type), Field("path", paths.type)])
    types = {
        "string": DataType.string(),
        "integer": DataType.int64(),
        "boolean": DataType.bool(),
        "float": DataType.float64(),
        "binary": DataType.binary(),
    }
    return Array(list(values), type=types[kind])
