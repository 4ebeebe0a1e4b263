"""The regimes by name, changes to single fields, and the checks before a run.

``default`` is the recommended one. ``released`` is the rollout of the released code, compared with recordings of it
(``docs/conformance.md``). Single fields of either can be changed; the name then lists them and the manifest shows them.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

import msgspec

from maestro_eval.records import Regime, Sampling, UserError
from maestro_eval.rollout.styles import style_of
from maestro_eval.text import ruler
from maestro_eval.text.clip import ESTIMATE

POLICY = "policy"
"""The tokenizer of the policy's own checkpoint."""

DEFAULT = Regime()

RELEASED = Regime(
    name="released",
    style="released",
    max_turns=5,
    max_searches=4,
    answer_at_first_turn=False,
    stop_at_tags=False,
    unusable="drop",
    show_thinking=False,
    first_turn_tail=200,
    retokenize=True,
    image_multiple=28,
    image_pixels=16384 * 28 * 28,
    prompt_tokens=12288,
    names="released",
    list_known_names=False,
    reply_tail_chars=1000,
    observation_tokens=1024,
    observation_keep="tail",
    mark_cuts=False,
    neutralise=False,
    tokenizer="policy",
    zoom_rescale=False,
    on_expert_failure="fail",
    # Five turns of 8,192 tokens and experts of several steps do not fit the default of 15 minutes.
    rollout_deadline_s=3600.0,
    temperature=1.0,
    top_p=1.0,
    max_tokens=8192,
    top_k=-1,
    repetition_penalty=1.0,
)

REGIMES = {regime.name: regime for regime in (DEFAULT, RELEASED)}
FORMER_NAMES = {"paper": "released"}
"""Names that a regime had, and its name now."""

# Fields that the released style replaces by rules of its own, so that changing them would have no effect.
_NOT_RELEASED = frozenset({
    "answer_at_first_turn", "stop_at_tags", "thinking", "first_turn_thinking_acts", "prefer", "unusable",
    "show_thinking", "list_known_names", "observation_keep", "mark_cuts", "max_searches",
})  # fmt: skip


def differing(regime: Regime, other: Regime = RELEASED) -> tuple[str, ...]:
    """Return the fields, except the name, in which ``regime`` has other rules than ``other``.

    If ``other`` counts in the policy's own tokens, naming a file for that tokenizer is not another rule.
    """
    unnamed = {"name", "tokenizer"} if other.tokenizer == POLICY != regime.tokenizer != ESTIMATE else {"name"}
    names = (field.name for field in msgspec.structs.fields(Regime) if field.name not in unnamed)
    return tuple(name for name in names if getattr(regime, name) != getattr(other, name))


def choose_regime(name: str, changes: Iterable[str] = ()) -> Regime:
    """Return the regime ``name`` with ``changes`` (each ``FIELD=VALUE``), renamed after those that have an effect.

    A value is parsed by its field's type: ``true`` or ``false``, a number, a word, ``null`` for none, and
    comma-separated words for a list. UserError names the field and its allowed values.
    """
    name = FORMER_NAMES.get(name, name)
    if name not in REGIMES:
        raise UserError(f"--regime {name}: unknown; there are {', '.join(REGIMES)}")
    base = REGIMES[name]
    types = {field.name: field.type for field in msgspec.structs.fields(Regime) if field.name != "name"}
    values: dict[str, Any] = {}
    for change in changes:
        field, equals, written = (part.strip() for part in change.partition("="))
        if not equals or field not in types:
            raise UserError(f"--regime-set {change}: expected FIELD=VALUE with a field of {', '.join(types)}")
        if field in values:
            raise UserError(f"--regime-set {change}: {field} is given twice")
        values[field] = _read(change, written, types[field])
    style = values.get("style", base.style)
    unread = next((field for field in values if field in _NOT_RELEASED), None) if style == "released" else None
    if unread:
        raise UserError(f"--regime-set {unread}: the released style has its own rule for it (docs/regimes.md)")
    if values.get("tokenizer", ESTIMATE) not in (ESTIMATE, POLICY):
        # A run may be resumed from another folder.
        values["tokenizer"] = os.path.abspath(values["tokenizer"])
    chosen = msgspec.structs.replace(base, **values)
    differs = differing(chosen, base)
    changed = [field for field in values if field in differs]
    return msgspec.structs.replace(chosen, name=f"{name} + {', '.join(changed)}" if changed else name)


def check_regime(regime: Regime) -> None:
    """Raise UserError for a value that no rollout can work with, or a tokenizer that cannot be loaded."""
    try:
        msgspec.convert(msgspec.to_builtins(regime), Regime)
    except msgspec.ValidationError as error:
        raise UserError(f"regime {regime.name}: {error}") from None
    if regime.tokenizer == POLICY:
        # The tokenizer is known once the policy's model is.
        return
    style_of(regime)
    ruler(regime.tokenizer)


def settle_sampling(sampling: Sampling, regime: Regime) -> Sampling:
    """Return ``sampling`` with the regime's own settings where it has none."""
    names = ("temperature", "top_p", "max_tokens", "top_k", "repetition_penalty")
    missing = [name for name in names if getattr(sampling, name) is None]
    return msgspec.structs.replace(sampling, **{name: getattr(regime, name) for name in missing})


def _read(change: str, written: str, wanted: Any) -> Any:
    words = _words(wanted)
    raw: Any = [word.strip() for word in written.split(",")] if _is_list(wanted) else written
    try:
        return msgspec.convert(raw, wanted, strict=False)
    except msgspec.ValidationError as error:
        takes = f"it takes {', '.join(words)}" if words else str(error)
        raise UserError(f"--regime-set {change}: {takes}") from None


def _is_list(wanted: Any) -> bool:
    return get_origin(wanted) is tuple or any(_is_list(part) for part in get_args(wanted))


def _words(wanted: Any) -> tuple[str, ...]:
    """Return the words that a field with a fixed choice accepts."""
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    if wanted is bool:
        return ("true", "false")
    return tuple(word for part in get_args(wanted) if not isinstance(part, msgspec.Meta) for word in _words(part))
