"""The types that a task may require of a column, and the check of the data against them.

A task names them in ``metadata: maestro: columns:``. A trailing ``?`` allows the column to be absent. Nulls fit every
type here: a null is one bad row, not a wrong schema.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

from msgspec import Struct

ColumnType = Literal[
    "string", "strings", "integer", "integers", "float", "boolean", "id", "image", "images", "image_base64", "any"
]

IMAGE_TYPES = frozenset({"image", "images", "image_base64"})

# The names of the types in messages, for Arrow and for JSON.
_IN_WORDS: dict[ColumnType, tuple[str, str]] = {
    "string": ("string", "a string"),
    "strings": ("list<string>", "a list of strings"),
    "integer": ("integer", "an integer"),
    "integers": ("list<integer>", "a list of integers"),
    "float": ("float", "a number"),
    "boolean": ("boolean", "true or false"),
    "id": ("string or integer", "a string or an integer"),
    "image": ("binary or struct<bytes: binary, path: string>", "the path of an image file"),
    "images": ("list of binary or of struct<bytes: binary, path: string>", "a list of paths of image files"),
    "image_base64": ("string (base64 of an image file)", "a string (base64 of an image file)"),
    "any": ("anything", "anything"),
}


class Column(Struct, frozen=True):
    """The type that a task expects of one column."""

    type: ColumnType
    optional: bool = False


def parse_column(written: object) -> Column | None:
    """Return the column of ``string``, ``id?``, …; None for any other text."""
    if not isinstance(written, str):
        return None
    name = written.removesuffix("?")
    if name not in get_args(ColumnType):
        return None
    return Column(cast(ColumnType, name), optional=written.endswith("?"))


def column_types() -> str:
    """Return the type names, for messages."""
    return ", ".join(get_args(ColumnType))


def expected(column: Column, storage: Literal["arrow", "json"]) -> str:
    """Return the type as it is stored, for messages."""
    return _IN_WORDS[column.type][storage == "json"]


def fits_arrow(column: Column, data_type: Any) -> bool:
    """Return whether an arro3 ``DataType`` fits the column."""
    if column.type == "any":
        return True
    data_type = _of_values(data_type)
    item = _ITEM.get(column.type)
    if item is None:
        return _fits_one(column.type, data_type)
    return _is_list(data_type) and _fits_one(item, _of_values(data_type.value_type))


def fits_json(column: Column, value: object) -> bool:
    """Return whether a value read from JSON fits the column."""
    if value is None or column.type == "any":
        return True
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    match column.type:
        case "string" | "image" | "image_base64":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return is_integer
        case "float":
            return is_integer or isinstance(value, float)
        case "id":
            return is_integer or isinstance(value, str)
        case "integers":
            return isinstance(value, list) and all(type(item) is int for item in value)
        case "strings" | "images":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)


_ITEM: dict[str, str] = {"strings": "string", "integers": "integer", "images": "image"}


def _fits_one(kind: str, data_type: Any) -> bool:
    from arro3.core import DataType

    match kind:
        case "string" | "image_base64":
            return _is_text(data_type)
        case "integer":
            return DataType.is_integer(data_type)
        case "float":
            return DataType.is_floating(data_type) or DataType.is_integer(data_type)
        case "boolean":
            return DataType.is_boolean(data_type)
        case "id":
            return _is_text(data_type) or DataType.is_integer(data_type)
    return _is_image(data_type)


def _of_values(data_type: Any) -> Any:
    """Return the type of a column's values; pandas and polars store a categorical column as a dictionary."""
    from arro3.core import DataType

    return data_type.value_type if DataType.is_dictionary(data_type) else data_type


def _is_list(data_type: Any) -> bool:
    from arro3.core import DataType

    return DataType.is_list(data_type) or DataType.is_large_list(data_type)


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
    return any(field.name == "bytes" and _is_binary(_of_values(field.type)) for field in data_type.fields)
