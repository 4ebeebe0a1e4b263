"""A registry from a user's copy of the release: its prompt exactly, our experts and skills under its names.

Promise: the folder that is written renders the released system and user messages byte for byte (it is loaded and held
against every row before it gets its name), and nothing of ours is put into the prompt. The folder extends a bundled
registry and holds, beside the prompt, only the entries that the prompt spells otherwise than we do.

Names are found by their letters and digits, whatever their case and separators. What the prompt writes in its call
form, or what looks like a skill's name, and is nothing of ours is reported, never guessed. No path is taken from what
the files hold.
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
from maestro_eval.records import Image, ImageRef, Regime, TextPart, UserError
from maestro_eval.registry.load import load_registry
from maestro_eval.registry.prompt import render_system, user_message
from maestro_eval.registry.records import Expert, Prompts, Registry, Skill
from maestro_eval.registry.release_prompt import MAX_ROWS, ReleasedRow, find_parquets, read_rows, templates_of
from maestro_eval.registry.resolve import fold, resolve
from maestro_eval.registry.source import read_chain

RELEASED_PIPELINE = "maestro_eval.skills.released:run"

ONTO = ("released", "released_augmented")
"""What an imported registry extends: the first that has all the names in the prompt."""

_PARENTS_SEARCHED = 6
_CALL = re.compile(r"([A-Za-z0-9][\w./-]{0,99})@@([A-Za-z0-9][\w./-]{0,99})")
_SKILL_LIKE = re.compile(r"(?<![\w@])[A-Za-z0-9]{1,40}(?:[_-][A-Za-z0-9]{1,40}){0,6}[_-](?:solver|skill)(?!\w)", re.I)

# How the call form itself is written, with no name in it.
_FORM = frozenset({"model", "modelname", "expert", "expertname", "skill", "skillname"})


class ReleasedCode(Struct, frozen=True):
    """A user's copy of the released skills: the repository's root, and the interpreter that has what it imports."""

    root: Path
    python: Path


class Imported(Struct, frozen=True):
    """What was written, and what there is to say about it, one line each."""

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

    ``code`` makes every skill run the released one. The registry extends the last of ``onto`` that has a name of its
    own in the prompt, or else the first. UserError, one line, for anything that is not as it must be.
    """
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: exists already and is not written over; choose another --out")
    files = find_parquets(place)
    rows = read_rows(files)
    prompts = templates_of(rows)
    text = rows[0].system
    extends, base = _choose(onto, text)
    found = _find_names(base, text)
    data = {**_head(out, extends, code), **_entries(base, found, code)}
    registry = _write(out, data, prompts, rows)
    names = ", ".join(file.name for file in files)
    report = [f"prompt: {_counted(rows, len(files))} of {names}, each rendered again byte for byte"]
    if elsewhere := [row.where for row in rows if not row.images_first]:
        report.append(f"{elsewhere[0]}: an image is inside the text; ours come before it ({len(elsewhere)} such rows)")
    return Imported(out, registry, (*report, *_report(registry, found), *_unbound(registry, text)))


def find_root(place: Path) -> Path:
    """The released repository's root: ``place`` or the nearest folder above that holds ``skills/load_skills.py``."""
    start = place.resolve()
    for folder in (start, *start.parents[:_PARENTS_SEARCHED]):
        if (folder / "skills" / "load_skills.py").is_file() and (folder / "skills" / "factory.py").is_file():
            return folder
    raise UserError(
        f"{place}: no skills/load_skills.py and skills/factory.py here or above; "
        f"--released-skills needs a copy of the released repository"
    )


def code_hash(root: Path) -> str:
    """Fingerprint of the released skills' Python files, by their place below ``root``."""
    files = sorted(file for file in (root / "skills").rglob("*.py") if file.is_file())
    return fingerprint([[str(file.relative_to(root)), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


class _Found(Struct, frozen=True):
    """An entry of ours and how the prompt spells it, in the order of first use; nothing where it does not."""

    kind: Literal["experts", "skills"]
    name: str
    spellings: tuple[str, ...]


def _choose(onto: Sequence[str], text: str) -> tuple[str, Registry]:
    """The first registry with the most names: a later one is taken only for names that those before lack."""
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
    """The places of ``name`` that are not part of a longer one; a full stop may end a sentence there."""
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
    """The entries that differ from ``base``: spelt otherwise in the prompt, or run by the released code."""
    chain = read_chain(base.path)
    release = code_hash(code.root) if code else ""
    data: dict[str, dict[str, Any]] = {"experts": {}, "skills": {}}
    for entry in found:
        ours: Expert | Skill = base.experts[entry.name] if entry.kind == "experts" else base.skills[entry.name]
        # A spelling with a space can be no alias; resolving leniently reads it all the same.
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
    """What the skill may consult: the released code asks itself, but what is missing there is to be said."""
    uses = [*skill.evidence, *(use for solver in skill.solvers.values() for use in solver.evidence or ())]
    return list(dict.fromkeys(use.service for use in uses))


def _write(out: Path, data: dict[str, Any], prompts: Prompts, rows: Sequence[ReleasedRow]) -> Registry:
    """The folder, complete and proven or not there at all."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        write_atomic(draft / "prompts" / "system.j2", prompts.system)
        write_atomic(draft / "prompts" / "user.j2", prompts.user)
        write_atomic(draft / "registry.yaml", yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))
        _prove(load_registry(draft / "registry.yaml"), rows)
        draft.chmod(0o755)
        os.rename(draft, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(draft)
    return load_registry(out / "registry.yaml")


def _prove(registry: Registry, rows: Sequence[ReleasedRow]) -> None:
    """The promise, kept before the folder is."""
    for row in rows:
        blank = Image(ImageRef("", "image/png", 1, 1, 0), b"")
        message = user_message(registry, row.question, [blank] * row.images)
        user = "".join(part.text for part in message.parts if isinstance(part, TextPart))
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
    """What the prompt calls, or seems to, that is nothing of ours."""
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
