"""The differences of a run from a published number, and from its checkpoint's training, as far as that is known.

A reproduction that fails because another captioner looked at the images is no failure of the system; so what
differs is said beside every verdict, and nothing is refused. A trained policy scores lower under another prompt or in
another conversation, and nothing in its accuracy says so. Compared are fields of the manifest with a reference's.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.comparison import ReportedContrast
from maestro_eval.analysis.notes import accepted_text, size_texts
from maestro_eval.analysis.reference import MARKS, Reference, load_reference
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.records import Regime, RunManifest, Selection
from maestro_eval.registry import entry_hashes, load_registry
from maestro_eval.registry.release import RELEASED_PIPELINE
from maestro_eval.rollout import FORMER_NAMES, REGIMES, differing

UNKNOWN = "not published"
"""Shown where nobody said what a published number was made with."""

_HASH_LENGTH = 12
_CHECKPOINTS = {"maestro-4b": "maestro-4b"}
# Where a tokenizer is read from says nothing of what it is; the style has a line of its own.
_LISTED_APART = frozenset({"tokenizer", "style"})


class SettingDifference(Struct, frozen=True):
    """A setting as it was published and as it was in the run; ``published`` is ``UNKNOWN`` where nobody said.

    ``detail`` marks what a line about all settings leaves out.
    """

    setting: str
    published: str
    here: str
    detail: bool = False

    @property
    def known(self) -> bool:
        """Whether the two are known to differ."""
        return self.published != UNKNOWN


def setting_differences(
    manifest: RunManifest,
    protocol: str,
    missing_evidence: Mapping[str, int],
    reference: Reference,
    scopes: Iterable[str],
) -> tuple[SettingDifference, ...]:
    """List the settings in which a run and ``reference``'s numbers on ``scopes`` differ, or of which that is not known.

    A setting that was read elsewhere than where the numbers were published (``settings_from``) names its source.
    """
    compared = tuple(scopes)
    found = [
        _policy(reference.policy_model, manifest.policy_model),
        *_registries(manifest.registry.name, reference, compared),
        SettingDifference("registry hash", UNKNOWN, manifest.registry.hash[:_HASH_LENGTH], detail=True),
        *departures(manifest, reference),
        _compared("regime", reference.regime, manifest.regime.name),
        _compared("protocol", reference.protocol, protocol),
        _compared("temperature", _number(reference.temperature), _number(manifest.sampling.temperature)),
        _compared("repeats", _number(reference.repeats), str(manifest.repeats)),
        *_services(reference, manifest),
    ]
    if reference.settings_from:
        found = [each and _read_from(reference.settings_from, each) for each in found]
        found += _unpublished(manifest, reference, compared)
    return tuple(each for each in (*found, *_lacking(manifest, missing_evidence)) if each is not None)


def published_notes(
    runs: Sequence[MeasuredRun], reported: Sequence[ReportedContrast], reference: Reference
) -> list[str]:
    """What a reader must be told of ``reference``'s row: where it is from, and what is known to differ from each run.

    ``reported`` are the runs held against it; there are none where nothing of it was run.
    """
    name = reported_name(reference)
    has = ", ".join(reference.values) or "none"
    scopes = {
        run.name: [each.scope for each in reported if (each.system, each.reference) == (run.name, reference)]
        for run in runs
    }
    without = [system for system, found in scopes.items() if not found]
    if len(without) == len(runs):
        return [f"nothing that was run here can be held against {name}; known of it: {has}"]
    meaning = "; ".join(
        f"{mark}: {MARKS[mark]}" for mark in sorted({value.mark for value in reference.values.values()})
    )
    notes = [
        f"{name}: {reference.citation}, {reference.where}{reference.date and f', {reference.date}'} ({meaning}). "
        "No samples of it are known: it is paired with nothing and tested as a fixed number"
    ]
    if without:
        notes.append(f"nothing of {', '.join(without)} can be held against {name}; known of it: {has}")
    alike: dict[str, list[str]] = {}
    for run in runs:
        found = setting_differences(run.manifest, run.protocol, run.missing_evidence, reference, scopes[run.name])
        known = [
            f"{each.setting} ({each.published}, here {each.here})" for each in found if each.known and not each.detail
        ]
        if known and scopes[run.name]:
            alike.setdefault("; ".join(known), []).append(run.name)
    notes += [f"{', '.join(systems)}: unlike {name} in {settings}" for settings, systems in alike.items()]
    return notes


def reported_name(reference: Reference) -> str:
    """The row of a reported number: no run may be called so."""
    return f"{reference.system} (reported)"


def _registries(here: str, reference: Reference, scopes: Iterable[str]) -> Iterator[SettingDifference]:
    """One difference, or one for each number where they were reached with different registries."""
    published = {scope: value.registry for scope in scopes if (value := reference.values.get(scope))}
    several = len(set(published.values())) > 1
    for scope, registry in published.items() if several else list(published.items())[:1]:
        if registry != here:
            yield SettingDifference(f"registry of {scope}" if several else "registry", registry or UNKNOWN, here)


def _read_from(source: str, each: SettingDifference) -> SettingDifference:
    return replace(each, published=f"{each.published} ({source})") if each.known else each


def _unpublished(manifest: RunManifest, reference: Reference, scopes: Sequence[str]) -> Iterator[SettingDifference]:
    """List what was never published of the numbers, so that nothing of the run passes for equal to it."""
    if any(value.n is None for scope in scopes if (value := reference.values.get(scope))):
        planned = sum(task.planned for task in manifest.tasks)
        yield SettingDifference("number of samples", UNKNOWN, f"{planned:,}", detail=True)
    yield SettingDifference("number of repeats behind the numbers", UNKNOWN, str(manifest.repeats), detail=True)


def _policy(published: str, here: str) -> SettingDifference | None:
    same = model_name(published) == model_name(here)
    return None if same else SettingDifference("policy model", published or UNKNOWN, here or "none")


def _compared(setting: str, published: str, here: str) -> SettingDifference | None:
    same = published == here
    return None if same else SettingDifference(setting, published or UNKNOWN, here or "left to the endpoint")


def _services(reference: Reference, manifest: RunManifest) -> Iterator[SettingDifference | None]:
    here = manifest.registry.services
    for name in dict.fromkeys([*reference.services, *here]):
        setting = "captioner" if name == "caption" else f"service {name}"
        published, ours = reference.services.get(name, ""), here.get(name, "")
        if model_name(published) != model_name(ours):
            absent = "none" if reference.services else UNKNOWN
            yield SettingDifference(setting, published or absent, ours or "none")


def _lacking(manifest: RunManifest, missing_evidence: Mapping[str, int]) -> Iterator[SettingDifference]:
    for service, count in missing_evidence.items():
        yield SettingDifference(f"evidence of {service}", "there", f"missing for {count} images")
    if manifest.selection != Selection():
        yield SettingDifference("samples", "all samples", manifest.selection.in_words)
    for text in size_texts(manifest):
        yield SettingDifference("samples", "all samples", text)
    for stop in manifest.ended_early:
        early = f"ended early, {stop.reason} after {stop.samples} of {stop.planned}"
        yield SettingDifference(f"samples of {stop.task}", "all samples", early)
    if manifest.accepted:
        yield SettingDifference("changed during the run", "nothing", accepted_text(manifest))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def departures(manifest: RunManifest, reference: Reference) -> tuple[SettingDifference, ...]:
    """List the settings of a run that differ from those of its checkpoint's training, where ``reference`` has them.

    Single rules of the regime are details.
    """
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
    whole = "; ".join(f"{each.setting} {each.here}, not {each.published}" for each in found if not each.detail)
    # In another style hardly a rule is the same, and one line cannot hold them: `reproduce` lists them.
    other_style = any(each.setting == "conversation style" for each in found)
    rules = "" if other_style else ", ".join(each.setting.removeprefix("rule ") for each in found if each.detail)
    said = "; ".join(filter(None, (whole, rules and f"rules that differ: {rules}")))
    return (
        f"{reference.system} was trained with other settings than these ({said}). As it was trained: "
        f"maestro-eval registry import YOUR_COPY_OF_THE_RELEASE --out DIR, then run --registry DIR "
        f"--regime {shlex.quote(reference.regime)} (docs/reproduce.md)"
    )


def model_name(model: str) -> str:
    """Return a model's bare name: without owner, folder and revision, in lower case."""
    return model.rstrip("/").rpartition("/")[2].partition("@")[0].casefold()


def _departures(manifest: RunManifest, reference: Reference) -> Iterator[SettingDifference]:
    if reference.prompt and manifest.prompt.hash != reference.prompt:
        yield SettingDifference("prompt", "the released one", f"{manifest.registry.name}'s")
    if reference.skills and not _released_skills(manifest, reference.skills):
        yield SettingDifference("skills", "the released ones", f"{manifest.registry.name}'s")
    regime = REGIMES.get(FORMER_NAMES.get(reference.regime, reference.regime))
    if regime is None:
        return
    if manifest.regime.style != regime.style:
        yield SettingDifference("conversation style", regime.style, manifest.regime.style)
    settled = _settled(manifest)
    for field in differing(settled, regime):
        if field not in _LISTED_APART:
            there, here = (_shown(getattr(each, field)) for each in (regime, settled))
            yield SettingDifference(f"rule {field}", there, here, detail=True)


def _settled(manifest: RunManifest) -> Regime:
    """Return the run's regime with the run's own sampling in it."""
    sampling = manifest.sampling
    names = ("temperature", "top_p", "max_tokens", "top_k", "repetition_penalty")
    return replace(manifest.regime, **{name: getattr(sampling, name) for name in names})


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
