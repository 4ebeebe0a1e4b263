"""Compare a run with its checkpoint's training: the prompt, the conversation, the rules, the skills.

A trained policy scores lower under another prompt or in another conversation, and nothing in its accuracy says so.
What is compared are fields of the manifest with the settings of a reference (``results/reference``).
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from maestro_eval.analysis.reference import Reference, load_reference
from maestro_eval.records import Regime, RunManifest
from maestro_eval.registry import entry_hashes, load_registry
from maestro_eval.registry.release import RELEASED_PIPELINE
from maestro_eval.rollout import FORMER_NAMES, REGIMES, differing

_CHECKPOINTS = {"maestro-4b": "maestro-4b"}
# Where a tokenizer is read from says nothing of what it is; the style has a line of its own.
_LISTED_APART = frozenset({"tokenizer", "style"})


class Departure(Struct, frozen=True):
    """A setting of a run: ``trained`` is the checkpoint's, ``here`` the run's.

    ``rule`` marks single fields of the regime.
    """

    setting: str
    trained: str
    here: str
    rule: bool = False


def departures(manifest: RunManifest, reference: Reference) -> tuple[Departure, ...]:
    """List the settings of a run that differ from those of ``reference``, where that has them."""
    return tuple(_departures(manifest, reference))


def training_warning(manifest: RunManifest) -> str:
    """Return one line if the policy is a known checkpoint that is not run as it was trained, else an empty text."""
    name = _CHECKPOINTS.get(model_name(manifest.policy_model))
    if name is None:
        return ""
    reference = load_reference(name)
    found = departures(manifest, reference)
    if not found:
        return ""
    whole = "; ".join(f"{each.setting} {each.here}, not {each.trained}" for each in found if not each.rule)
    # In another style hardly a rule is the same, and one line cannot hold them: `reproduce` lists them.
    other_style = any(each.setting == "conversation style" for each in found)
    rules = "" if other_style else ", ".join(each.setting.removeprefix("rule ") for each in found if each.rule)
    said = "; ".join(filter(None, (whole, rules and f"rules that differ: {rules}")))
    return (
        f"{reference.system} was trained with other settings than these ({said}). As it was trained: "
        f"maestro-eval registry import YOUR_COPY_OF_THE_RELEASE --out DIR, then run --registry DIR "
        f"--regime {shlex.quote(reference.regime)} (docs/reproduce.md)"
    )


def model_name(model: str) -> str:
    """Return a model's bare name: without owner, folder and revision, in lower case."""
    return model.rstrip("/").rpartition("/")[2].partition("@")[0].casefold()


def _departures(manifest: RunManifest, reference: Reference) -> Iterator[Departure]:
    if reference.prompt and manifest.prompt.hash != reference.prompt:
        yield Departure("prompt", "the released one", f"{manifest.registry.name}'s")
    if reference.skills and not _released_skills(manifest, reference.skills):
        yield Departure("skills", "the released ones", f"{manifest.registry.name}'s")
    regime = REGIMES.get(FORMER_NAMES.get(reference.regime, reference.regime))
    if regime is None:
        return
    if manifest.regime.style != regime.style:
        yield Departure("conversation style", regime.style, manifest.regime.style)
    settled = _settled(manifest)
    for field in differing(settled, regime):
        if field not in _LISTED_APART:
            there, here = (_shown(getattr(each, field)) for each in (regime, settled))
            yield Departure(f"rule {field}", there, here, rule=True)


def _settled(manifest: RunManifest) -> Regime:
    """Return the run's regime with the run's own sampling in it."""
    sampling = manifest.sampling
    names = ("temperature", "top_p", "max_tokens", "top_k", "repetition_penalty")
    return msgspec.structs.replace(manifest.regime, **{name: getattr(sampling, name) for name in names})


def _released_skills(manifest: RunManifest, registry: str) -> bool:
    known, record = _skills_of(registry), manifest.registry
    return all(
        # The user's copy of the release runs its own.
        record.pipelines.get(name) == RELEASED_PIPELINE or record.entries.get(f"skills.{name}") in known
        for name in record.skills
    )


@functools.cache
def _skills_of(registry: str) -> frozenset[str]:
    """The hashes of the skills of a bundled registry and of its augmented form."""
    loaded = [load_registry(name) for name in (registry, f"{registry}_augmented")]
    return frozenset(
        content for each in loaded for entry, content in entry_hashes(each).items() if entry.startswith("skills.")
    )


def _shown(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
