"""In what runs differ: the one list of the settings that can change a score, and what of it is not the same.

Resuming, comparing, swapping and reporting read this list.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.records import RunManifest
from maestro_eval.registry import variant_text

TOKENIZER = "tokenizer"
"""Under which ``RunManifest.versions`` has the hash of the tokenizer's file."""


class Setting(Struct, frozen=True):
    """``value`` is compared, ``text`` is shown."""

    value: str
    text: str


class Difference(Struct, frozen=True):
    """A setting that is not the same in all of some manifests: its text in each, empty where it has none.

    ``field`` is its name: "seed", "regime.max_turns", "data:maestro_chartqa".
    """

    field: str
    texts: tuple[str, ...]

    @property
    def group(self) -> str:
        """The record that the setting belongs to, "regime", or its own name."""
        return self.field.partition(".")[0].partition(":")[0]

    @property
    def name(self) -> str:
        """The setting's name within its group."""
        return self.field.removeprefix(self.group)[1:] or self.field


def settings_of(manifest: RunManifest) -> dict[str, Setting]:
    """Every setting by its name."""
    plain = {
        "registry": manifest.registry.hash,
        "variant": variant_text(manifest.registry.variant) or "as it stands",
        "prompt": manifest.prompt.hash,
        "policy": manifest.policy,
        "policy-model": manifest.policy_model,
        "seed": str(manifest.seed),
        "repeats": str(manifest.repeats),
    }
    for group in ("regime", "sampling"):
        record = getattr(manifest, group)
        plain |= {f"{group}.{field}": str(getattr(record, field)) for field in record.__struct_fields__}
    if tokenizer := manifest.versions.get(TOKENIZER, ""):
        plain[TOKENIZER] = tokenizer
    for task in manifest.tasks:
        plain |= {
            f"task:{task.name}": task.hash,
            f"metric:{task.name}": task.metric_hash,
            f"data:{task.name}": task.data_hash,
        }
    found = {name: Setting(value, value) for name, value in plain.items()}
    return found | {"selection": Setting(fingerprint(manifest.selection), manifest.selection.in_words)}


def diff(*manifests: RunManifest) -> tuple[Difference, ...]:
    """The settings in which ``manifests`` differ; a task that only some have is none."""
    return differences([settings_of(manifest) for manifest in manifests])


def differences(settings: Sequence[dict[str, Setting]]) -> tuple[Difference, ...]:
    """The settings that are not the same in all of ``settings`` that have them."""
    names = dict.fromkeys(name for each in settings for name in each)
    return tuple(
        Difference(name, tuple(each[name].text if name in each else "" for each in settings))
        for name in names
        if len({each[name].value for each in settings if name in each}) > 1
    )
