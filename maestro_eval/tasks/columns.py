"""The types that a task may demand of a column, and whether what is there fits.

A task names them in ``metadata: maestro: columns:``. A trailing ``?`` allows the column to be absent. Nulls
fit every type here: a null is one bad row, not a wrong schema.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

from msgspec import Struct

ColumnType = Literal["string", "strings", "integer", "boolean", "id", "image", "images"]

IMAGE_TYPES = frozenset({"image", "images"})

_IN_PARQUET = {
    "string": "string",
    "strings": "list<string>",
    "integer": "integer",
    "boolean": "boolean",
    "id": "string or integer",
    "image": "binary or struct<bytes: binary, path: string>",
    "images": "list of binary or of struct<bytes: binary, path: string>",
}
_IN_JSON = {
    "string": "a string",
    "strings": "a list of strings",
    "integer": "an integer",
    "boolean": "true or false",
    "id": "a string or an integer",
    "image": "the path of an image file",
    "images": "a list of paths of image files",
}


class Column(Struct, frozen=True):
    """What a task expects of one column."""

    type: ColumnType
    optional: bool = False


def parse_column(written: object) -> Column | None:
    """``string``, ``id?``, … as a column; ``None`` for anything else."""
    if not isinstance(written, str):
        return None
    name = written.removesuffix("?")
    if name not in get_args(ColumnType):
        return None
    return Column(cast(ColumnType, name), optional=written.endswith("?"))


def column_types() -> str:
    """The type names, for messages."""
    return ", ".join(get_args(ColumnType))


def expected(column: Column, storage: Literal["parquet", "json"]) -> str:
    """How the type looks in that storage, for messages."""
    return (_IN_PARQUET if storage == "parquet" else _IN_JSON)[column.type]


def fits_arrow(column: Column, data_type: Any) -> bool:
    """Whether an arro3 ``DataType`` can hold such a column."""
    from arro3.core import DataType

    if column.type == "string":
        return _is_text(data_type)
    if column.type == "integer":
        return DataType.is_integer(data_type)
    if column.type == "boolean":
        return DataType.is_boolean(data_type)
    if column.type == "id":
        return _is_text(data_type) or DataType.is_integer(data_type)
    if column.type == "image":
        return _is_image(data_type)
    if not (DataType.is_list(data_type) or DataType.is_large_list(data_type)):
        return False
    item = data_type.value_type
    return _is_text(item) if column.type == "strings" else _is_image(item)


def fits_json(column: Column, value: object) -> bool:
    """Whether a value read from JSON can stand in such a column."""
    if value is None:
        return True
    if column.type in ("string", "image"):
        return isinstance(value, str)
    if column.type == "boolean":
        return isinstance(value, bool)
    if column.type in ("integer", "id"):
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer or (column.type == "id" and isinstance(value, str))
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text(data_type: Any) -> bool:
    from arro3.core import DataType

    return DataType.is_string(data_type) or DataType.is_large_string(data_type) or DataType.is_string_view(data_type)


def _is_binary(data_type: Any) -> bool:
    from arro3.core import DataType

    return DataType.is_binary(data_type) or DataType.is_large_binary(data_type) or DataType.is_binary_view(data_type)


def _is_image(data_type: Any) -> bool:
    from arro3.core import DataType

    if not DataType.is_struct(data_type):
        return _is_binary(data_type)
    return any(field.name == "bytes" and _is_binary(field.type) for field in data_type.fields)
