"""What variants of a registry say of a result: other orders, neutral names, entries left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.compare import compare
from maestro_eval.analysis.comparison import Comparison, ContrastSpec, ScopeKind
from maestro_eval.analysis.sample_scores import Bounds, Readings
from maestro_eval.analysis.swap.records import OrderSpread, Robustness, VariantRun, VariantScope
from maestro_eval.analysis.swap.settings import entry_changes, labelled, settle_settings
from maestro_eval.records import RegistryVariant, RunManifest, UserError
from maestro_eval.registry import variant_text
from maestro_eval.scoring import RunScores

_What = Literal["permuted", "renamed", "without", "several"]


def robustness(
    references: Sequence[RunScores], variants: Sequence[RunScores], allow: Collection[str] = ()
) -> Robustness:
    """Hold each variant against the first of ``references`` that is of the same registry.

    UserError for a variant of neither, for one that is none, and for one that differs in more than its registry's
    variant and what ``allow`` names.
    """
    runs: list[VariantRun] = []
    listed: dict[tuple[str, str], _Accuracy] = {}
    for given in variants:
        reference = _reference(references, given)
        first, second = labelled([reference, given], [_words(each.manifest) for each in (reference, given)])
        settle_settings(first.manifest, second.manifest, {*allow, "variant"}, flag="--variants")
        _refuse_other_registry(first.manifest, second.manifest)
        names = (first.manifest.system, second.manifest.system)
        comparison = compare([first, second], [ContrastSpec(names[1], names[0])])
        what, left_out = _what(first.manifest.registry.variant, second.manifest.registry.variant)
        accuracies = _accuracies(comparison, names[1])
        listed |= {(names[0], scope): value for scope, value in _accuracies(comparison, names[0]).items()}
        scopes = tuple(
            VariantScope(
                each.scope, each.kind, accuracies[each.scope].value, each.difference, accuracies[each.scope].bounds
            )
            for each in comparison.contrasts
        )
        variant = variant_text(second.manifest.registry.variant) or "as it stands"
        runs.append(VariantRun(names[1], variant, what, left_out, names[0], scopes))
    return Robustness(tuple(runs), _orders(runs, listed))


class _Accuracy(Struct, frozen=True):
    """An accuracy, failures as wrong, and its bounds where something failed."""

    value: float
    bounds: Bounds | None

    @property
    def ends(self) -> Bounds:
        return self.bounds or Bounds(self.value, self.value)


def _orders(runs: Sequence[VariantRun], listed: dict[tuple[str, str], _Accuracy]) -> tuple[OrderSpread, ...]:
    found: dict[tuple[str, str, ScopeKind], list[_Accuracy]] = {}
    for run in runs:
        if run.what == "permuted":
            for scope in run.scopes:
                accuracy = _Accuracy(scope.accuracy, scope.bounds)
                found.setdefault((run.reference, scope.scope, scope.kind), []).append(accuracy)
    return tuple(
        _spread(reference, scope, kind, listed[reference, scope], orders)
        for (reference, scope, kind), orders in found.items()
    )


def _spread(reference: str, scope: str, kind: ScopeKind, listed: _Accuracy, orders: Sequence[_Accuracy]) -> OrderSpread:
    values, ends = [each.value for each in orders], [each.ends for each in orders]
    lows, highs = [each.low for each in ends], [each.high for each in ends]
    failed = any(each.bounds for each in orders)
    # The widest gap is between two orders: one has no range, whatever its failures hide.
    widest = max((high - low for i, high in enumerate(highs) for j, low in enumerate(lows) if i != j), default=0.0)
    return OrderSpread(
        reference,
        scope,
        kind,
        len(orders),
        listed.value,
        fmean(values),
        min(lows),
        max(highs),
        max(values) - min(values),
        listed.bounds,
        Bounds(fmean(lows), fmean(highs)) if failed else None,
        Bounds(max(0.0, max(lows) - min(highs)), max(0.0, widest)) if failed else None,
    )


def _reference(references: Sequence[RunScores], variant: RunScores) -> RunScores:
    ours = variant.manifest.registry
    for reference in references:
        theirs = reference.manifest.registry
        if theirs.path == ours.path:
            if theirs.variant == ours.variant:
                raise UserError(
                    f"--variants: {variant.manifest.system} is {variant_text(ours.variant) or 'no variant'}, as "
                    f"{reference.manifest.system} is; give runs of --permute-registry, --rename-experts or --without"
                )
            return reference
    known = " nor ".join(reference.manifest.registry.path for reference in references)
    raise UserError(f"--variants: {variant.manifest.system} is of the registry {ours.path}, which is neither {known}")


def _refuse_other_registry(reference: RunManifest, variant: RunManifest) -> None:
    """The file may have been edited between the runs; then more than the variant differs."""
    ours, theirs = variant.registry, reference.registry
    if ours.variant.rename or theirs.variant.rename or set(ours.services) != set(theirs.services):
        # Then descriptions, or the evidence of skills, differ by design.
        return
    changed = entry_changes(theirs, ours).changed
    if changed:
        raise UserError(
            f"--variants: {', '.join(changed[:3])} of the registry {ours.path} differs between {reference.system} and "
            f"{variant.system}; run both with the same registry file"
        )


def _what(reference: RegistryVariant, variant: RegistryVariant) -> tuple[_What, str]:
    """In what the two differ, and the entry that the variant alone leaves out."""
    left_out = [name for name in variant.without if name not in reference.without]
    differing: list[_What] = []
    if reference.permute != variant.permute:
        differing.append("permuted")
    if reference.rename != variant.rename:
        differing.append("renamed")
    if set(reference.without) != set(variant.without):
        alone = len(left_out) == 1 and set(reference.without) < set(variant.without)
        differing.append("without" if alone else "several")
    what = differing[0] if len(differing) == 1 else "several"
    return what, left_out[0] if what == "without" else ""


def _accuracies(comparison: Comparison, system: str) -> dict[str, _Accuracy]:
    (found,) = (each for each in comparison.systems if each.name == system)
    tasks = {name: _accuracy(task.accuracy.value, task.readings) for name, task in found.tasks.items()}
    return tasks | {name: _accuracy(mean.value, found.mean_readings.get(name)) for name, mean in found.means.items()}


def _accuracy(value: float, readings: Readings | None) -> _Accuracy:
    return _Accuracy(value, None if readings is None else Bounds(readings.worst, readings.best))


def _words(manifest: RunManifest) -> str:
    return variant_text(manifest.registry.variant) or "as it stands"
