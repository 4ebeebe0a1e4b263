"""A model's own tokenizer, read from its file without the model.

A ``tokenizer.json``, or a checkpoint's folder with one, is read by ``tokenizers`` (3 MB), which every engine depends
on. ``qwen.tiktoken`` is read by ``tiktoken``: that file has Qwen's vocabulary only, so its pattern and special tokens
are Qwen3's, defined here. Neither package is needed if nothing counts tokens.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from maestro_eval.records import UserError
from maestro_eval.text.harmless import one_line, whole_text

HUB = "hub:"
"""The prefix of a checkpoint on the hub: ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``."""

Span = tuple[int, int]


class Tokenizer(Protocol):
    """Encodes text to ids and back. Control tokens that a text spells out become those tokens."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of ``tokens``; bytes that are no character become U+FFFD."""

    def spans(self, text: str) -> Sequence[Span]:
        """Return the characters (begin, end) of each token; several tokens of one character all have that character."""


@lru_cache(maxsize=8)
def load_tokenizer(source: str) -> Tokenizer:
    """Load the tokenizer of a ``tokenizer.json``, a ``qwen.tiktoken``, a checkpoint's folder, or ``hub:OWNER/NAME``.

    UserError (one line) if it cannot be loaded.
    """
    path = tokenizer_file(source)
    return _Tiktoken(source, path) if path.suffix == ".tiktoken" else _Json(source, path)


def tokenizer_file(source: str) -> Path:
    """Find the file that ``load_tokenizer`` reads. UserError if there is none."""
    path = _from_hub(source) if source.startswith(HUB) else Path(source)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise UserError(
            f"tokenizer {source}: no such file; give a tokenizer.json, qwen.tiktoken or a checkpoint's folder"
        )
    return path


class _Json:
    """The tokenizer of a ``tokenizer.json``."""

    def __init__(self, source: str, path: Path) -> None:
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise UserError(f"tokenizer {source}: needs a package; pip install 'maestro-eval[released]'") from error
        try:
            self._library: Any = Library.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for whatever is wrong with the file
            raise UserError(f"tokenizer {source}: not a tokenizer.json ({one_line(str(error))})") from None
        # A file may contain the limits of its model's training; they do not apply here.
        self._library.no_truncation()
        self._library.no_padding()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._library.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        return str(self._library.decode(list(tokens), skip_special_tokens=skip_special))

    def spans(self, text: str) -> Sequence[Span]:
        offsets: Sequence[Span] = self._library.encode(text, add_special_tokens=False).offsets
        return offsets


_QWEN_SIZE = 151_643
_QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# In the order of their ids. From <tool_call> on they are text to a model's reader, not control tokens.
_QWEN_CONTROL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
_QWEN_ADDED = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip


class _Tiktoken:
    """Qwen's vocabulary from its tiktoken file, with Qwen3's special tokens."""

    def __init__(self, source: str, path: Path) -> None:
        try:
            import tiktoken
        except ImportError as error:
            raise UserError(f"tokenizer {source}: needs a package; pip install tiktoken") from error
        ranks = _ranks(source, path)
        named = (*_QWEN_CONTROL, *_QWEN_ADDED)
        special = {token: _QWEN_SIZE + number for number, token in enumerate(named)}
        self._library = tiktoken.Encoding(
            path.stem, pat_str=_QWEN_PATTERN, mergeable_ranks=ranks, special_tokens=special
        )
        self._control = {special[token] for token in _QWEN_CONTROL}

    def encode(self, text: str) -> list[int]:
        return self._library.encode(whole_text(unicodedata.normalize("NFC", text)), allowed_special="all")

    def decode(self, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        kept = [token for token in tokens if not (skip_special and token in self._control)]
        return self._library.decode(kept, errors="replace")

    def spans(self, text: str) -> Sequence[Span]:
        # The spans of the unchanged text: composing it would shift them.
        pieces = [
            self._library.decode_single_token_bytes(token)
            for token in self._library.encode(whole_text(text), allowed_special="all")
        ]
        # The character that each byte belongs to.
        characters = [place for place, character in enumerate(whole_text(text)) for _ in character.encode()]
        spans, at = [], 0
        for piece in pieces:
            spans.append((characters[at], characters[at + len(piece) - 1] + 1))
            at += len(piece)
        return spans


def _ranks(source: str, path: Path) -> dict[bytes, int]:
    try:
        lines = (line.split() for line in path.read_bytes().splitlines() if line.strip())
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (OSError, ValueError, binascii.Error) as error:
        raise UserError(f"tokenizer {source}: not a tiktoken file ({error})") from None
    if len(ranks) != _QWEN_SIZE:
        raise UserError(
            f"tokenizer {source}: {len(ranks)} tokens, where Qwen has {_QWEN_SIZE}: a tiktoken file does not say how "
            "its text is split, which is known for Qwen's only; give the model's tokenizer.json"
        )
    return ranks


def _from_hub(source: str) -> Path:
    name, _, revision = source.removeprefix(HUB).partition("@")
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(name, "tokenizer.json", revision=revision or None))
    except ImportError as error:
        raise UserError(f"tokenizer of {name}: needs a package; pip install 'maestro-eval[hub]'") from error
    except Exception as error:  # the hub's errors have no common type: not there, gated, no network
        reason = one_line(str(error))[:200]
        raise UserError(f"tokenizer of {name}: not available from the hub ({reason})") from None
