"""Types of single fields of a registry file, each with its check."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def _check_name(name: str) -> str:
    # The action grammar splits at "@@" and ":"; a name must survive it, and a tag must not fit into one.
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits and . _ / - only, and begins with a letter or digit")
    return name


def base_address(url: str) -> str:
    """What precedes ``/chat/completions`` in an address as users write it: a bare host gets ``/v1``, as vLLM has it."""
    url = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return url if re.match(r"https?://[^/]*/", url) else f"{url}/v1"


def _check_url(url: str) -> str:
    url = base_address(url)
    if not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", url):
        raise ValueError("expected the base address of an OpenAI-compatible API, say http://127.0.0.1:8000/v1")
    # A registry is copied and shown; a key has no place in it.
    if set(url) & set("@?#"):
        raise ValueError("an address without user, password or query; put the key into a variable, name it api_key_env")
    return url


def _check_variable(name: str) -> str:
    # What does not look like a variable's name may be the key itself, so it is not repeated.
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of the environment variable that holds the key, not the key")
    return name


def _check_scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("expected one text, number or true/false")
    return value


def _check_version(version: object) -> object:
    # YAML reads 0.10 as the number 0.1.
    if not isinstance(version, str) or not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ValueError('expected a version in quotes, say "0.17"')
    return version


Name = Annotated[str, AfterValidator(_check_name)]
Url = Annotated[str, AfterValidator(_check_url)]
Variable = Annotated[str, AfterValidator(_check_variable)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Version = Annotated[str, BeforeValidator(_check_version)]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_check_scalar)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
