"""Known differences in settings between a run and a published number, and between a run and its checkpoint's training.

Another captioner explains a gap without a failure of the system: every verdict lists the differences, and nothing is
refused. A trained policy scores lower under another prompt or conversation style, which its accuracy does not show.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.comparison import ReportedContrast
from maestro_eval.analysis.notes import accepted_text, size_texts
from maestro_eval.analysis.reference import MARKS, Reference, load_reference
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.records import EntryKey, Regime, RunManifest, Selection
from maestro_eval.registry import RELEASED_PIPELINE, entry_hashes, load_registry
from maestro_eval.rollout import FORMER_NAMES, REGIMES, differing

UNKNOWN = "not published"
"""The text for a setting that was not published."""

_HASH_LENGTH = 12
_CHECKPOINTS = {"maestro-4b": "maestro-4b"}
# A tokenizer's path does not identify it; the style has its own line.
_LISTED_APART = frozenset({"tokenizer", "style"})


class SettingDifference(Struct, frozen=True):
    """A setting as published and in the run; ``published`` is ``UNKNOWN`` if it was not published.

    ``detail`` marks a setting that a one-line summary leaves out.
    """

    setting: str
    published: str
    here: str
    detail: bool = False

    @property
    def known(self) -> bool:
        return self.published != UNKNOWN


def setting_differences(run: MeasuredRun, reference: Reference, scopes: Sequence[str]) -> tuple[SettingDifference, ...]:
    """Return the settings in which a run and ``reference``'s numbers on ``scopes`` differ, or may differ.

    A setting whose source is not that of the numbers names it (``settings_from``).
    """
    manifest = run.manifest
    found = [
        *_compared("policy model", reference.policy_model, manifest.policy_model, "none", key=model_name),
        *_registries(manifest.registry.name, reference, scopes),
        SettingDifference("registry hash", UNKNOWN, manifest.registry.hash[:_HASH_LENGTH], detail=True),
        *departures(manifest, reference),
        *_compared("regime", reference.regime, manifest.regime.name),
        *_compared("protocol", reference.protocol, run.protocol),
        *_compared(
            "temperature", *(_shown(each, "") for each in (reference.temperature, manifest.sampling.temperature))
        ),
        *_compared("repeats", _shown(reference.repeats, ""), str(manifest.repeats)),
        *_services(reference, manifest),
    ]
    if source := reference.settings_from:
        found = [replace(each, published=f"{each.published} ({source})") if each.known else each for each in found]
        # The unpublished sizes of the numbers, so that no one assumes that the run's are equal.
        if any(value.n is None for scope in scopes if (value := reference.values.get(scope))):
            planned = sum(task.planned for task in manifest.tasks)
            found.append(SettingDifference("number of samples", UNKNOWN, f"{planned:,}", detail=True))
        repeats = "number of repeats behind the numbers"
        found.append(SettingDifference(repeats, UNKNOWN, str(manifest.repeats), detail=True))
    return (*found, *_lacking(run))


def published_notes(
    runs: Sequence[MeasuredRun], reported: Sequence[ReportedContrast], reference: Reference
) -> list[str]:
    """Return notes on ``reference``'s row: its source, and its known differences from each run.

    ``reported`` are the differences of the runs from it, empty if no scope of it was run.
    """
    name = reported_name(reference)
    has = ", ".join(reference.values) or "none"
    scopes = {
        run.name: [each.scope for each in reported if (each.system, each.reference) == (run.name, reference)]
        for run in runs
    }
    without = [system for system, found in scopes.items() if not found]
    if len(without) == len(runs):
        return [f"nothing that was run here can be compared with {name}, which has: {has}"]
    meaning = "; ".join(
        f"{mark}: {MARKS[mark]}" for mark in sorted({value.mark for value in reference.values.values()})
    )
    notes = [
        f"{name}: {reference.citation}, {reference.where}{reference.date and f', {reference.date}'} ({meaning}). "
        "It has no samples: it is tested as a fixed number and paired with nothing"
    ]
    if without:
        notes.append(f"nothing of {', '.join(without)} can be compared with {name}, which has: {has}")
    alike: dict[str, list[str]] = {}
    for run in runs:
        found = setting_differences(run, reference, scopes[run.name])
        known = [
            f"{each.setting} ({each.published}, here {each.here})" for each in found if each.known and not each.detail
        ]
        if known and scopes[run.name]:
            alike.setdefault("; ".join(known), []).append(run.name)
    notes += [f"{', '.join(systems)}: other settings than {name}: {settings}" for settings, systems in alike.items()]
    return notes


def reported_name(reference: Reference) -> str:
    return f"{reference.system} (reported)"


def _registries(here: str, reference: Reference, scopes: Iterable[str]) -> Iterator[SettingDifference]:
    published = {scope: value.registry for scope in scopes if (value := reference.values.get(scope))}
    several = len(set(published.values())) > 1
    for scope, registry in published.items() if several else list(published.items())[:1]:
        if registry != here:
            yield SettingDifference(f"registry of {scope}" if several else "registry", registry or UNKNOWN, here)


def _compared(
    setting: str,
    published: str,
    here: str,
    absent: str = "left to the endpoint",
    *,
    unknown: str = UNKNOWN,
    key: Callable[[str], str] = str,
) -> Iterator[SettingDifference]:
    """Yield the setting if the two differ by ``key``; ``unknown`` and ``absent`` are the texts of empty ones."""
    if key(published) != key(here):
        yield SettingDifference(setting, published or unknown, here or absent)


def _services(reference: Reference, manifest: RunManifest) -> Iterator[SettingDifference]:
    here, unknown = manifest.registry.services, "none" if reference.services else UNKNOWN
    for name in dict.fromkeys([*reference.services, *here]):
        setting = "captioner" if name == "caption" else f"service {name}"
        published, ours = reference.services.get(name, ""), here.get(name, "")
        yield from _compared(setting, published, ours, "none", unknown=unknown, key=model_name)


def _lacking(run: MeasuredRun) -> Iterator[SettingDifference]:
    manifest = run.manifest
    for service, count in run.source.tally.missing_evidence.items():
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


def departures(manifest: RunManifest, reference: Reference) -> Iterator[SettingDifference]:
    """Yield the settings that differ from those of the checkpoint's training, as far as ``reference`` has them.

    Single rules of the regime are details.
    """
    if reference.prompt and manifest.prompt.hash != reference.prompt:
        yield SettingDifference("prompt", "the released one", f"{manifest.registry.name}'s")
    if reference.skills and not _released_skills(manifest, reference.skills):
        yield SettingDifference("skills", "the released ones", f"{manifest.registry.name}'s")
    regime = _trained_regime(reference)
    if regime is None:
        return
    if manifest.regime.style != regime.style:
        yield SettingDifference("conversation style", regime.style, manifest.regime.style)
    for field in _differing_rules(manifest, regime):
        there, here = (_shown(getattr(each, field)) for each in (regime, _settled(manifest)))
        yield SettingDifference(f"rule {field}", there, here, detail=True)


def training_warning(manifest: RunManifest) -> str:
    """Return one line if the policy is a known checkpoint with other settings than in training, else an empty text."""
    name = _CHECKPOINTS.get(model_name(manifest.policy_model))
    if name is None:
        return ""
    reference = load_reference(name)
    found, regime = list(departures(manifest, reference)), _trained_regime(reference)
    if not found:
        return ""
    whole = "; ".join(f"{each.setting} {each.here}, not {each.published}" for each in found if not each.detail)
    # In another style most rules differ, which is too much for one line; `reproduce` lists them.
    same_style = regime is not None and manifest.regime.style == regime.style
    rules = ", ".join(_differing_rules(manifest, regime)) if regime and same_style else ""
    settings = "; ".join(filter(None, (whole, rules and f"rules that differ: {rules}")))
    return (
        f"{reference.system} was trained with other settings than these ({settings}). As it was trained: "
        f"maestro-eval registry import YOUR_COPY_OF_THE_RELEASE --out DIR, then run --registry DIR "
        f"--regime {shlex.quote(reference.regime)} (docs/reproduce.md)"
    )


def model_name(model: str) -> str:
    """Return a model's bare name: without owner, folder and revision, in lower case."""
    return model.rstrip("/").rpartition("/")[2].partition("@")[0].casefold()


def _trained_regime(reference: Reference) -> Regime | None:
    return REGIMES.get(FORMER_NAMES.get(reference.regime, reference.regime))


def _differing_rules(manifest: RunManifest, regime: Regime) -> list[str]:
    return [field for field in differing(_settled(manifest), regime) if field not in _LISTED_APART]


def _settled(manifest: RunManifest) -> Regime:
    sampling = manifest.sampling
    names = ("temperature", "top_p", "max_tokens", "top_k", "repetition_penalty")
    return replace(manifest.regime, **{name: getattr(sampling, name) for name in names})


def _released_skills(manifest: RunManifest, registry: str) -> bool:
    known, record = _skills_of(registry), manifest.registry
    return all(
        # A registry imported from the release runs the released skills themselves.
        record.pipelines.get(name) == RELEASED_PIPELINE or record.entries.get(f"skills.{name}") in known
        for name in record.skills
    )


@functools.cache
def _skills_of(registry: str) -> frozenset[str]:
    loaded = [load_registry(name) for name in (registry, f"{registry}_augmented")]
    return frozenset(
        content for each in loaded for key, content in entry_hashes(each).items() if EntryKey.read(key).kind == "skills"
    )


def _shown(value: object, absent: str = "none") -> str:
    return absent if value is None else f"{value:g}" if isinstance(value, float) else str(value)
