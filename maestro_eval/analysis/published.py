"""What sets a run apart from a published number: the settings of which one is known to differ, or is not known.

A reproduction that fails because another captioner looked at the images is no failure of the system; so what
differs is said beside every verdict. Nothing here is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.as_trained import departures, model_name
from maestro_eval.analysis.comparison import ReportedContrast
from maestro_eval.analysis.notes import accepted_text, size_texts
from maestro_eval.analysis.reference import MARKS, Reference
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.records import RunManifest, Selection

UNKNOWN = "not published"
"""Shown where nobody said what a published number was made with."""

_HASH_LENGTH = 12


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
        *(
            SettingDifference(each.setting, each.trained, each.here, each.rule)
            for each in departures(manifest, reference)
        ),
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
        early = f"ended early, after {stop.samples} of {stop.planned}"
        yield SettingDifference(f"samples of {stop.task}", "all samples", early)
    if manifest.accepted:
        yield SettingDifference("changed during the run", "nothing", accepted_text(manifest))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
