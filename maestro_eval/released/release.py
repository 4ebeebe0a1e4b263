"""Imports a user's copy of the release as a registry: its exact prompt, and our experts and skills under its names.

Promise: the written folder renders the released system and user messages byte for byte (it is loaded and compared with
every row before it is renamed), and nothing of ours is put into the prompt. The folder extends a bundled registry and
contains, beside the prompt, only entries that the prompt spells differently, and skills that run the released code.

Names are matched by their letters and digits, ignoring case and separators. A name in the call form, or one that looks
like a skill's, that matches none of ours is reported, never guessed. No path in the files' content is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from msgspec import Struct

from maestro_eval.files import fingerprint, write_atomic
from maestro_eval.records import Image, ImageRef, Regime, UserError
from maestro_eval.registry import (
    RELEASED_PIPELINE,
    Expert,
    Prompts,
    Registry,
    Skill,
    fold,
    load_registry,
    read_chain,
    render_system,
    resolve,
    user_message,
)
from maestro_eval.released.release_prompt import MAX_ROWS, ReleasedRow, find_parquets, read_rows, templates_of

ONTO = ("released", "released_augmented")
"""The registries that an import may extend; it extends the one with the most names in the prompt, or the first such."""

_PARENTS_SEARCHED = 6
_CALL = re.compile(r"([A-Za-z0-9][\w./-]{0,99})@@([A-Za-z0-9][\w./-]{0,99})")
_SKILL_LIKE = re.compile(r"(?<![\w@])[A-Za-z0-9]{1,40}(?:[_-][A-Za-z0-9]{1,40}){0,6}[_-](?:solver|skill)(?!\w)", re.I)

# Placeholders in descriptions of the call form, such as MODEL@@SKILL.
_FORM = frozenset({"model", "modelname", "expert", "expertname", "skill", "skillname"})


class ReleasedCode(Struct, frozen=True):
    """A user's copy of the released skills: the repository's root, and an interpreter with its packages."""

    root: Path
    python: Path


class Imported(Struct, frozen=True):
    """The written registry, and a report of one line for each finding."""

    folder: Path
    registry: Registry
    report: tuple[str, ...]


def import_release(
    place: Path,
    out: Path,
    *,
    code: ReleasedCode | None = None,
    onto: Sequence[str] = ONTO,
) -> Imported:
    """Write the registry of the release at ``place`` (its folder, or an example Parquet) to the new folder ``out``.

    With ``code`` every skill runs the released one. The registry extends the one of ``onto`` with the most names in the
    prompt, or the first such. Raise UserError for unusable input.
    """
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already and is not overwritten; choose another --out")
    files = find_parquets(place)
    rows = read_rows(files)
    prompts = templates_of(rows)
    text = rows[0].system
    extends, base = _choose_base(onto, text)
    found = _find_names(base, text)
    data = {**_head(out, extends, code), **_entries(base, found, code)}
    registry = _write(out, data, prompts, rows)
    names = ", ".join(file.name for file in files)
    report = [f"prompt: {_counted(rows, len(files))} of {names}, each rendered again byte for byte"]
    if elsewhere := [row.where for row in rows if not row.images_first]:
        report.append(f"{elsewhere[0]}: an image is inside the text; ours come before it ({len(elsewhere)} such rows)")
    return Imported(out, registry, (*report, *_report(registry, found), *_unbound(registry, text)))


def find_root(place: Path) -> Path:
    """Return the released repository's root: ``place`` or the nearest parent with ``skills/load_skills.py``."""
    start = place.resolve()
    for folder in (start, *start.parents[:_PARENTS_SEARCHED]):
        if (folder / "skills" / "load_skills.py").is_file() and (folder / "skills" / "factory.py").is_file():
            return folder
    raise UserError(
        f"{place}: no skills/load_skills.py and skills/factory.py here or above; "
        f"--released-skills needs a copy of the released repository"
    )


def code_hash(root: Path) -> str:
    """Return the fingerprint of the released skills' Python files and their paths below ``root``."""
    files = sorted(file for file in (root / "skills").rglob("*.py") if file.is_file())
    return fingerprint([[str(file.relative_to(root)), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


class _Found(Struct, frozen=True):
    """One of our entries with the prompt's spellings of it, in the order of first use."""

    kind: Literal["experts", "skills"]
    name: str
    spellings: tuple[str, ...]


def _choose_base(onto: Sequence[str], text: str) -> tuple[str, Registry]:
    """Return the registry with the most names in the prompt, or the first such."""
    registries = {name: load_registry(name) for name in onto}
    named = {
        name: sum(bool(entry.spellings) for entry in _find_names(registry, text))
        for name, registry in registries.items()
    }
    best = max(named, key=lambda name: named[name])
    return best, registries[best]


def _find_names(registry: Registry, text: str) -> list[_Found]:
    return [
        *(_Found("experts", name, _spellings(expert, text)) for name, expert in registry.experts.items()),
        *(_Found("skills", name, _spellings(skill, text)) for name, skill in registry.skills.items()),
    ]


def _spellings(entry: Expert | Skill, text: str) -> tuple[str, ...]:
    known = [entry.name, *entry.aliases]
    if isinstance(entry, Expert):
        known.append(entry.model.rpartition("/")[2])
    return tuple(dict.fromkeys(match for name in dict.fromkeys(known) for match in _occurrences(name, text)))


def _occurrences(name: str, text: str) -> Iterator[str]:
    """Yield the spellings of ``name`` that are not part of a longer name; a full stop may follow."""
    pieces = map(re.escape, re.findall(r"[A-Za-z]+|[0-9]+", name))
    pattern = rf"(?<![\w.-]){'[ _./-]?'.join(pieces)}(?![\w-])(?!\.\w)"
    return (match[0] for match in re.finditer(pattern, text, re.IGNORECASE))


def _head(out: Path, extends: str, code: ReleasedCode | None) -> dict[str, Any]:
    name = out.name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", out.name) else "imported"
    whose = "the released skills" if code else f"the experts and skills of {Path(extends).stem}"
    return {
        "schema": 1,
        "name": name,
        "description": f"The prompt of a user's copy of the release, with {whose}.",
        "extends": str(Path(extends).resolve()) if Path(extends).is_file() else extends,
        "prompt": {"system": "prompts/system.j2", "user": "prompts/user.j2", "exact": True},
    }


def _entries(base: Registry, found: Sequence[_Found], code: ReleasedCode | None) -> dict[str, Any]:
    """Return the entries that the prompt spells differently from ``base`` or that run the released code."""
    chain = read_chain(base.path)
    release = code_hash(code.root) if code else ""
    data: dict[str, dict[str, Any]] = {"experts": {}, "skills": {}}
    for entry in found:
        ours: Expert | Skill = base.experts[entry.name] if entry.kind == "experts" else base.skills[entry.name]
        # A spelling with a space cannot be an alias; lenient resolution accepts it anyway.
        words = [spelling for spelling in entry.spellings if not re.search(r"\s", spelling)]
        new = [word for word in words if word not in (ours.name, *ours.aliases)]
        aliases = [*ours.aliases, *new]
        if code and isinstance(ours, Skill):
            data["skills"][entry.name] = {
                "description": ours.description,
                "pipeline": RELEASED_PIPELINE,
                "evidence": _services(ours),
                "aliases": aliases,
                "options": {
                    "root": str(code.root),
                    "python": str(code.python),
                    "skill": (words or [ours.name])[0],
                    "release": release,
                },
            }
        elif new:
            written = next(
                getattr(source.file, entry.kind)[entry.name]
                for source in reversed(chain)
                if entry.name in getattr(source.file, entry.kind)
            )
            fields = written.model_dump(mode="json", by_alias=True, exclude_unset=True)
            data[entry.kind][entry.name] = {**fields, "aliases": aliases}
    return {
        kind: {name: {k: v for k, v in fields.items() if v != []} for name, fields in entries.items()}
        for kind, entries in data.items()
        if entries
    }


def _services(skill: Skill) -> list[str]:
    """Return the services that the skill may call: the released code calls them, and we report missing ones."""
    uses = [*skill.evidence, *(use for solver in skill.solvers.values() for use in solver.evidence or ())]
    return list(dict.fromkeys(use.service for use in uses))


def _write(out: Path, data: dict[str, Any], prompts: Prompts, rows: Sequence[ReleasedRow]) -> Registry:
    """Write the folder only if it is complete and passes `_check`."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        write_atomic(draft / "prompts" / "system.j2", prompts.system)
        write_atomic(draft / "prompts" / "user.j2", prompts.user)
        write_atomic(draft / "registry.yaml", yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))
        _check(load_registry(draft / "registry.yaml"), rows)
        draft.chmod(0o755)
        os.rename(draft, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(draft)
    return load_registry(out / "registry.yaml")


def _check(registry: Registry, rows: Sequence[ReleasedRow]) -> None:
    """Raise UserError unless the registry renders every row's messages byte for byte."""
    for row in rows:
        blank = Image(ImageRef("", "image/png", 1, 1, 0), b"")
        message = user_message(registry, row.question, [blank] * row.images)
        user = message.text
        system = render_system(registry, Regime())
        for role, released, ours in (("system", row.system, system), ("user", row.user, user)):
            if ours != released:
                raise UserError(
                    f"{row.where}: the {role} message cannot be rendered as it is released; "
                    f"this text is beyond the import, so please report it"
                )


def _counted(rows: Sequence[ReleasedRow], files: int) -> str:
    rows_ = "row" if len(rows) == 1 else "rows"
    return f"the first {len(rows)} rows" if len(rows) >= MAX_ROWS * files else f"{len(rows)} {rows_}"


def _report(registry: Registry, found: Sequence[_Found]) -> Iterator[str]:
    for entry in found:
        what = entry.kind.removesuffix("s")
        if not entry.spellings:
            yield f"{what} {entry.name}: not named in the prompt"
        elif entry.spellings == (entry.name,):
            yield f"{what} {entry.name}: named so in the prompt"
        else:
            yield f"{what} {entry.name}: written {', '.join(entry.spellings)}"
    for name, skill in registry.skills.items():
        if skill.pipeline == RELEASED_PIPELINE:
            yield f"skill {name}: runs the released {skill.options['skill']}"


def _unbound(registry: Registry, text: str) -> Iterator[str]:
    """Yield a line for each name that the prompt calls, or seems to call, and that matches none of ours."""
    seen: set[tuple[str, str]] = set()
    any_expert, any_skill = next(iter(registry.experts)), next(iter(registry.skills))
    written = [
        *(("expert", match[1]) for match in _CALL.finditer(text)),
        *(("skill", match[2]) for match in _CALL.finditer(text)),
        *(("skill", match[0]) for match in _SKILL_LIKE.finditer(text)),
    ]
    for kind, raw in written:
        name = raw.rstrip("./-_")
        if (kind, fold(name)) in seen or fold(name) in _FORM:
            continue
        seen.add((kind, fold(name)))
        if kind == "expert":
            bound = resolve(registry, name, any_skill, "lenient").expert
        else:
            bound = resolve(registry, any_expert, name, "lenient").skill
        if bound is None:
            yield f"could not bind {kind} {name}: the prompt writes it, and no {kind} of ours is called so"
