"""Finds the runs below a viewer's folders, indexes each when it is first shown, and again while it grows.

One background thread builds indices in the order of the requests; a page that would wait too long raises ``Waiting``
and is requested again.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis import Comparison, compare
from maestro_eval.journal import JournalCounts, read_manifest
from maestro_eval.records import ContrastSpec, RolloutKey, RunManifest, UserError
from maestro_eval.view.answers import NotFound
from maestro_eval.view.columns import sample_digest
from maestro_eval.view.index import Index, open_index, refresh_index
from maestro_eval.view.source import Judged, RunSource, stamp_of

_DEEPEST = 4
_OPEN_INDICES = 16
_KEPT_ENTRIES = 3
_KEPT_RESULTS = 512
# A run that lacks rollouts and was written to within this time counts as running.
_LIVE_S = 900.0
_PATIENCE_S = 1.2
_UNSAFE = re.compile(r"[^a-z0-9]+")


class Known(Struct, frozen=True):
    """A run folder with its manifest. ``id`` names it in addresses: the folder's name and a digest of its path."""

    id: str
    folder: Path
    manifest: RunManifest

    @property
    def name(self) -> str:
        return self.manifest.system


class Waiting(Exception):
    """A page needs a result that is still being computed; ``done`` of ``total`` rollouts are read."""

    def __init__(self, what: str, done: int = 0, total: int = 0) -> None:
        super().__init__(what)
        self.what, self.done, self.total = what, done, total


class Library:
    """All runs below some folders. Only one thread, the one that renders pages, calls its methods.

    ``subset`` limits the samples that are shown of each run, to the same ones in every run; statistics cover all.
    """

    def __init__(self, folders: Sequence[Path], *, patience: float = _PATIENCE_S, subset: int | None = None) -> None:
        self.folders = tuple(folders)
        self.subset = subset
        self._patience = patience
        self._known: dict[str, Known] = {}
        self._manifests: dict[Path, tuple[int, Known]] = {}
        self._indices: OrderedDict[str, Index] = OrderedDict()
        self._sources: OrderedDict[str, RunSource] = OrderedDict()
        self._jobs: dict[str, Future[Any]] = {}
        self._built: dict[str, tuple[str, float, float]] = {}
        self._done: dict[str, int] = {}
        self._results: OrderedDict[str, Any] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="view-index")
        self._entries: OrderedDict[tuple[str, str, RolloutKey], Judged] = OrderedDict()
        self._until = 0.0
        self.problems: list[str] = []

    def runs(self) -> list[Known]:
        """Find all runs, the newest first; unreadable ones go to ``problems``."""
        self.problems = []
        found = {}
        for folder in dict.fromkeys(path for root in self.folders for path in run_folders(root)):
            known = self._read(folder)
            if known is not None:
                found[known.id] = known
        self._known = found
        return sorted(found.values(), key=lambda known: -known.manifest.created_at)

    def get(self, run: str) -> Known:
        """Return the run with that id; raise NotFound if there is none."""
        if run not in self._known:
            self.runs()
        if run not in self._known:
            raise NotFound("no run of that name is below the folders that this viewer was opened on")
        return self._known[run]

    def named(self, ids: Iterable[str]) -> list[Known]:
        """Return the existing runs among ``ids``."""
        return [self._known[run] for run in ids if run in self._known]

    def begin_page(self, patience: float | None = None) -> None:
        """Start the time limit that all waits of one page share."""
        self._until = time.monotonic() + (self._patience if patience is None else patience)

    def counts(self, known: Known) -> JournalCounts:
        found: JournalCounts = self.cached(
            f"counts {known.id} {stamp_of(known.folder)}", lambda: self.source(known).journal.counts()
        )
        return found

    def is_live(self, known: Known, counts: JournalCounts) -> bool:
        """Return True if the run lacks rollouts and was written to recently."""
        return counts.missing > 0 and self.was_written_lately(known)

    def was_written_lately(self, known: Known) -> bool:
        files = (known.folder / name for name in ("journal.db", "journal.db-wal"))
        # A clock that was set back leaves files dated in the future.
        return any(abs(time.time() - file.stat().st_mtime) < _LIVE_S for file in files if file.exists())

    def source(self, known: Known) -> RunSource:
        """Return the run's open journal; beyond ``_OPEN_INDICES`` the least recently used one is closed."""
        if known.id not in self._sources:
            self._sources[known.id] = RunSource(known.folder)
        self._sources.move_to_end(known.id)
        while len(self._sources) > _OPEN_INDICES:
            self._sources.popitem(last=False)[1].journal.close()
        return self._sources[known.id]

    def beside(self, known: Known, task: str) -> list[Known]:
        """Return the runs of the same task, those in the same folder first; at most as many as can be open at once."""
        asked = [run for run in self._known.values() if any(each.name == task for each in run.manifest.tasks)]
        asked.sort(key=lambda run: (run.folder.parent != known.folder.parent, -run.manifest.created_at))
        return asked[: _OPEN_INDICES - 2]

    def explores(self, known: Known) -> list[Known]:
        """Return the explore runs that have a task of ``known``."""
        tasks = [task.name for task in known.manifest.tasks]
        found = {run.id: run for task in tasks for run in self.beside(known, task) if run.manifest.candidates}
        return list(found.values())

    def key_at(self, known: Known, rank: int) -> RolloutKey:
        """Return the key at that rank; raise NotFound if the rank is too large."""
        index = self.index(known)
        if rank >= index.frame.size:
            raise NotFound(f"the run has {index.frame.size} rollouts, numbered from 0")
        (line,) = index.lines([rank])
        return RolloutKey(index.frame.text("task", rank), line.sample_id, int(index.frame["repeat"][rank]))

    def entry_at(self, known: Known, rank: int) -> Judged:
        """Return the rollout at that rank, or raise NotFound; the last few are cached for requests of page texts."""
        key = self.key_at(known, rank)
        name = (known.id, stamp_of(known.folder), key)
        if name not in self._entries:
            self._entries[name] = self.source(known).get(key)
            while len(self._entries) > _KEPT_ENTRIES:
                self._entries.popitem(last=False)
        self._entries.move_to_end(name)
        return self._entries[name]

    def ranks_of(self, index: Index, task: str, sample_id: str) -> NDArray[np.int64]:
        """Return the ranks of a sample's rollouts, one for each repeat."""
        return np.flatnonzero(index.frame["sample"] == np.uint64(sample_digest(task, sample_id)))

    def ready_index(self, known: Known) -> Index | None:
        """Return the run's index if it is open already or is up to date, else None."""
        if known.id not in self._indices:
            index = open_index(known.folder)
            if index is None or index.stamp != stamp_of(known.folder):
                return None
            self._cache_index(known.id, index)
        return self._indices[known.id]

    def index(self, known: Known) -> Index:
        """Return the run's index, which may lag behind a growing journal; raise Waiting while the first is built."""
        index = self._indices.get(known.id)
        if index is None and (index := open_index(known.folder)) is not None:
            self._cache_index(known.id, index)
        if index is not None and (index.stamp == stamp_of(known.folder) or self._built_lately(known.id)):
            self._indices.move_to_end(known.id)
            return index
        building = self._job(f"index {known.id}", lambda: self._build(known))
        try:
            building.result(max(0.0, self._until - time.monotonic()))
        except NotYet:
            if index is not None:
                return index
            raise Waiting(f"reading {known.name}", self._done.get(known.id, 0), planned(known.manifest)) from None
        finally:
            if building.done():
                self._jobs.pop(f"index {known.id}", None)
        fresh = open_index(known.folder)
        if fresh is None:
            raise UserError(f"{known.folder}: its index vanished while it was opened")
        self._cache_index(known.id, fresh)
        return fresh

    def comparison(self, runs: Sequence[Known], protocol: str) -> Comparison:
        """Compare the first run with each other one under one protocol; raise Waiting until the result is computed."""
        from maestro_eval.analysis import distinct_names, renamed

        names = distinct_names([run.manifest for run in runs], [run.folder for run in runs])

        def work() -> Comparison:
            sources = [RunSource(run.folder) for run in runs]
            try:
                scored = [renamed(each.scores(protocol), name) for each, name in zip(sources, names, strict=True)]
                return compare(scored, [ContrastSpec(names[0], other) for other in names[1:]])
            finally:
                for source in sources:
                    source.journal.close()

        version = " ".join(stamp_of(run.folder) for run in runs)
        name = f"comparison {protocol} {' '.join(run.id for run in runs)}"
        found: Comparison = self._computed(name, version, "computing intervals", work)
        return found

    def close(self) -> None:
        """Close all indices and journals; an index that is being built is finished in its thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        for index in self._indices.values():
            index.close()
        for source in self._sources.values():
            source.journal.close()

    def cached(self, key: str, work: Callable[[], Any]) -> Any:
        """Return the cached result for ``key``, or that of ``work``, run in this thread."""
        return self._results[key] if key in self._results else self._store(key, work())

    def _computed(self, name: str, version: str, what: str, work: Callable[[], Any]) -> Any:
        """Return the result of ``work``, run in the background; until it is done, the result for an earlier version.

        Raise Waiting if there is no earlier result.
        """
        before, result = self._results.get(name, ("", None))
        if before == version:
            return result
        job = self._job(name, lambda: (version, work()))
        try:
            made = job.result(max(0.0, self._until - time.monotonic()))
        except NotYet:
            if before:
                return result
            raise Waiting(what) from None
        finally:
            if job.done():
                self._jobs.pop(name, None)
        return self._store(name, made)[1]

    def _store(self, key: str, value: Any) -> Any:
        self._results[key] = value
        while len(self._results) > _KEPT_RESULTS:
            self._results.popitem(last=False)
        return value

    def _job(self, key: str, work: Callable[[], Any]) -> Future[Any]:
        if key not in self._jobs:
            self._jobs[key] = self._worker.submit(work)
        return self._jobs[key]

    def _build(self, known: Known) -> None:
        began = time.monotonic()
        stamp = stamp_of(known.folder)
        refresh_index(known.folder, lambda done: self._done.__setitem__(known.id, done))
        now = time.monotonic()
        self._built[known.id] = (stamp, now, now - began)

    def _built_lately(self, run: str) -> bool:
        """Return True if the index was built too recently to be built again."""
        _, at, took = self._built.get(run, ("", -1e9, 0.0))
        return time.monotonic() - at < max(1.0, 5 * took)

    def _cache_index(self, run: str, index: Index) -> None:
        if (old := self._indices.pop(run, None)) is not None:
            old.close()
        self._indices[run] = index
        while len(self._indices) > _OPEN_INDICES:
            self._indices.popitem(last=False)[1].close()

    def _read(self, folder: Path) -> Known | None:
        try:
            changed = (folder / "manifest.json").stat().st_mtime_ns
            if folder in self._manifests and self._manifests[folder][0] == changed:
                return self._manifests[folder][1]
            known = Known(_id_of(folder), folder, read_manifest(folder))
        except (UserError, OSError, msgspec.ValidationError) as error:
            self.problems.append(str(error))
            return None
        self._manifests[folder] = (changed, known)
        return known


def planned(manifest: RunManifest) -> int:
    """Return the number of rollouts that a run plans."""
    return sum(task.planned for task in manifest.tasks) * max(1, manifest.repeats)


def run_folders(root: Path, deepest: int = _DEEPEST) -> Iterator[Path]:
    """Find the run folders at and below ``root``, without following symbolic links."""
    try:
        entries = {entry.name: entry for entry in os.scandir(root)}
    except OSError:
        return
    if "manifest.json" in entries and "journal.db" in entries:
        yield root.resolve()
        entries = {name: entry for name, entry in entries.items() if name == "replays"}
    if deepest:
        for name, entry in sorted(entries.items()):
            if not name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield from run_folders(root / name, deepest - 1)


def _id_of(folder: Path) -> str:
    digest = hashlib.sha256(str(folder).encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{_UNSAFE.sub('-', folder.name.lower()).strip('-')[:60] or 'run'}-{digest}"
