"""The runs that a viewer knows: found below its folders, indexed when looked at, and followed while they go on.

Indices are built in one thread of their own, in the order in which pages asked for them; a page that waits too long is
shown without them and asks again.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
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
from maestro_eval.records import RolloutKey, RunManifest, UserError
from maestro_eval.view.columns import sample_digest
from maestro_eval.view.index import Index, open_index, refresh_index
from maestro_eval.view.source import Judged, RunSource, stamp_of

_DEEPEST = 4
_OPEN_INDICES = 16
_KEPT_ENTRIES = 3
_KEPT_RESULTS = 512
# A run whose journal was written to within this time, and that lacks rollouts, is going on.
_LIVE_S = 900.0
_PATIENCE_S = 1.2
_UNSAFE = re.compile(r"[^a-z0-9]+")


class Known(Struct, frozen=True):
    """A run folder with its manifest. ``id`` is how addresses name it: its folder's name and a digest of the path."""

    id: str
    folder: Path
    manifest: RunManifest

    @property
    def name(self) -> str:
        return self.manifest.system


class Waiting(Exception):
    """What a page needs is being made; ``done`` of ``total`` are."""

    def __init__(self, what: str, done: int = 0, total: int = 0) -> None:
        super().__init__(what)
        self.what, self.done, self.total = what, done, total


class Library:
    """All runs below some folders. Its methods belong to one thread, the one that makes pages.

    ``subset`` shows so many samples of each run, in every run the same ones; numbers stay those of all.
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
        """The runs that there are now, the newest first."""
        self.problems = []
        found = {}
        for folder in dict.fromkeys(path for root in self.folders for path in run_folders(root)):
            known = self._read(folder)
            if known is not None:
                found[known.id] = known
        self._known = found
        return sorted(found.values(), key=lambda known: -known.manifest.created_at)

    def get(self, run: str) -> Known:
        """The run of that id. KeyError."""
        if run not in self._known:
            self.runs()
        return self._known[run]

    def begin_page(self, patience: float | None = None) -> None:
        """A page is begun: what it waits for is waited for together."""
        self._until = time.monotonic() + (self._patience if patience is None else patience)

    def forget_pauses(self) -> None:
        """Let the next look at a run that goes on be as new as its journal."""
        self._built.clear()

    def counts(self, known: Known) -> JournalCounts:
        """How far the run is."""
        found: JournalCounts = self.kept(
            f"counts {known.id} {stamp_of(known.folder)}", lambda: self.source(known).counts()
        )
        return found

    def is_live(self, known: Known, counts: JournalCounts) -> bool:
        """Whether the run still lacks rollouts and was written to a short time ago."""
        return counts.missing > 0 and self.was_written_lately(known)

    def was_written_lately(self, known: Known) -> bool:
        files = (known.folder / name for name in ("journal.db", "journal.db-wal"))
        # A clock that was put back has left files of the future.
        return any(abs(time.time() - file.stat().st_mtime) < _LIVE_S for file in files if file.exists())

    def source(self, known: Known) -> RunSource:
        """The run's journal, open."""
        if known.id not in self._sources:
            self._sources[known.id] = RunSource(known.folder)
        self._sources.move_to_end(known.id)
        while len(self._sources) > _OPEN_INDICES:
            self._sources.popitem(last=False)[1].close()
        return self._sources[known.id]

    def beside(self, known: Known, task: str) -> list[Known]:
        """The runs that asked the same task, those in the same folder first; no more than are kept open."""
        asked = [run for run in self._known.values() if any(each.name == task for each in run.manifest.tasks)]
        asked.sort(key=lambda run: (run.folder.parent != known.folder.parent, -run.manifest.created_at))
        return asked[: _OPEN_INDICES - 2]

    def explores(self, known: Known) -> list[Known]:
        """The explore runs that asked a task of ``known``."""
        tasks = [task.name for task in known.manifest.tasks]
        found = {run.id: run for task in tasks for run in self.beside(known, task) if run.manifest.arms}
        return list(found.values())

    def entry(self, known: Known, key: RolloutKey) -> Judged:
        """One rollout, the last few kept: a page's texts follow it."""
        name = (known.id, stamp_of(known.folder), key)
        if name not in self._entries:
            self._entries[name] = self.source(known).get(key)
            while len(self._entries) > _KEPT_ENTRIES:
                self._entries.popitem(last=False)
        self._entries.move_to_end(name)
        return self._entries[name]

    def ranks_of(self, index: Index, task: str, sample_id: str) -> NDArray[np.int64]:
        """The ranks of a sample's rollouts, one for each repeat."""
        return np.flatnonzero(index.frame["sample"] == np.uint64(sample_digest(task, sample_id)))

    def ready_index(self, known: Known) -> Index | None:
        """The run's index if it need not be made first."""
        if known.id not in self._indices:
            index = open_index(known.folder)
            if index is None or index.stamp != stamp_of(known.folder):
                return None
            self._keep(known.id, index)
        return self._indices[known.id]

    def index(self, known: Known) -> Index:
        """The run's index, as new as the journal or, while that grows, a little behind it.

        ``Waiting`` where there is none yet and it takes its time.
        """
        index = self._indices.get(known.id)
        if index is None and (index := open_index(known.folder)) is not None:
            self._keep(known.id, index)
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
        self._keep(known.id, fresh)
        return fresh

    def comparison(self, runs: Sequence[Known], protocol: str) -> Comparison:
        """``analysis.compare`` of runs under one protocol, the first held against each other one. ``Waiting``."""
        from maestro_eval.analysis import ContrastSpec
        from maestro_eval.analysis.names import distinct_names, renamed

        names = distinct_names([run.manifest for run in runs], [run.folder for run in runs])

        def work() -> Comparison:
            sources = [RunSource(run.folder) for run in runs]
            try:
                scored = [renamed(each.scores(protocol), name) for each, name in zip(sources, names, strict=True)]
                return compare(scored, [ContrastSpec(names[0], other) for other in names[1:]])
            finally:
                for source in sources:
                    source.close()

        version = " ".join(stamp_of(run.folder) for run in runs)
        name = f"comparison {protocol} {' '.join(run.id for run in runs)}"
        found: Comparison = self._made(name, version, "computing intervals", work)
        return found

    def close(self) -> None:
        """Close everything; what is being built is given up by its thread's own end."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        for index in self._indices.values():
            index.close()
        for source in self._sources.values():
            source.close()

    def kept(self, key: str, work: Callable[[], Any]) -> Any:
        """What ``work`` makes, made once a key, here and now."""
        return self._results[key] if key in self._results else self._remember(key, work())

    def _made(self, name: str, version: str, what: str, work: Callable[[], Any]) -> Any:
        """What ``work`` makes in the thread for long work; while it takes its time, what an earlier version made.

        ``Waiting`` where there is none.
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
        return self._remember(name, made)[1]

    def _remember(self, key: str, value: Any) -> Any:
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
        """Whether an index that is behind its journal was made so short a time ago that another would be waste."""
        _, at, took = self._built.get(run, ("", -1e9, 0.0))
        return time.monotonic() - at < max(1.0, 5 * took)

    def _keep(self, run: str, index: Index) -> None:
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
    """How many rollouts a run was to have."""
    return sum(task.planned for task in manifest.tasks) * max(1, manifest.repeats)


def run_folders(root: Path, deepest: int = _DEEPEST) -> Iterator[Path]:
    """The run folders at and below ``root``, symbolic links not followed."""
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
