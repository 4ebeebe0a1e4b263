"""Parquet with the column types that the hub's datasets have, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Field, Table, list_array, struct_array
from arro3.io import write_parquet


def write_rows(path: Path, columns: Mapping[str, tuple[str, Sequence[Any]]], group: int | None = None) -> Path:
    """Write ``{name: (kind, values)}``; kinds are string, integer, boolean, float, binary, image and lists ``[kind]``.

    ``group`` is the number of rows in a row group.
    """
    arrays = {name: _array(kind, values) for name, (kind, values) in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(Table.from_pydict(arrays), path, max_row_group_size=group, compression="snappy")
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
