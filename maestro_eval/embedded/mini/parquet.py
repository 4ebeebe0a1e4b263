"""Writes rows to Parquet as Hugging Face's ``datasets`` would, without pyarrow.

A row is a frozen dataclass; its fields are the columns, their annotations the column types: ``str``, ``int``
(int64), ``bool``, ``Picture`` (struct<bytes: binary, path: string>), and tuples of these as lists. The schema
contains the ``huggingface`` key, so ``datasets`` shows pictures instead of bytes. All rows are written at once, because
a mini benchmark fits in memory.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import fields
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from maestro_eval.embedded.mini.stage import Picture
from maestro_eval.files import write_atomic

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_FEATURES: dict[type, dict[str, str]] = {
    str: {"dtype": "string", "_type": "Value"},
    int: {"dtype": "int64", "_type": "Value"},
    bool: {"dtype": "bool", "_type": "Value"},
    Picture: {"_type": "Image"},
}


def write_rows(path: Path, rows: Sequence[DataclassInstance], kind: type[DataclassInstance]) -> None:
    """Write ``rows``, all of type ``kind``, to ``path`` atomically. Raise UserError if it cannot be written."""
    from arro3.core import Field, Schema, Table
    from arro3.io import write_parquet

    hints = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}
    columns = [_column([getattr(row, name) for row in rows], hint) for name, hint in hints.items()]
    about = json.dumps({"info": {"features": {name: _feature(hint) for name, hint in hints.items()}}})
    schema = Schema(
        [Field(name, column.type, nullable=True) for name, column in zip(hints, columns, strict=True)],
        metadata={"huggingface": about},
    )
    encoded = io.BytesIO()
    write_parquet(Table.from_arrays(columns, schema=schema), encoded, compression="uncompressed")
    write_atomic(path, encoded.getvalue())


def _column(values: Sequence[Any], hint: Any) -> Any:
    from arro3.core import Array, DataType, Field, list_array, struct_array

    if get_origin(hint) is tuple:
        (item, *_rest) = get_args(hint)
        items = _column([one for value in values for one in value], item)
        offsets = Array(list(accumulate((len(value) for value in values), initial=0)), type=DataType.int32())
        return list_array(offsets, items, type=DataType.list(Field("item", items.type, nullable=True)))
    if hint is Picture:
        parts = [
            Array([picture.data for picture in values], type=DataType.binary()),
            Array([picture.path for picture in values], type=DataType.string()),
        ]
        return struct_array(parts, fields=[Field("bytes", DataType.binary()), Field("path", DataType.string())])
    plain = {str: DataType.string, int: DataType.int64, bool: DataType.bool}
    return Array(list(values), type=plain[hint]())


def _feature(hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return {"feature": _feature(get_args(hint)[0]), "_type": "List"}
    return _FEATURES[hint]
