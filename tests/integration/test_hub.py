"""What the hub's libraries fetch is what our readers read, and what they raise becomes one line."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pytest
from msgspec import structs

from maestro_eval.records import UserError
from maestro_eval.tasks import define, open_task, select_tasks
from maestro_eval.tasks.task_yaml import Definition
from tests.unit.tasks.parquet_rows import png, write_rows

TASK = """\
task: mine
dataset_path: someone/something
test_split: test
doc_to_visual: image
doc_to_text: question
doc_to_target: answer
metadata:
  maestro:
    metric: integer
    columns: {question: string, answer: string, image: image, lang: "string?"}
"""
KEEP = TASK.replace("metric: integer", "metric: integer\n    keep: !function rows.english")


def defined(folder: Path, task: str = TASK) -> Definition:
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(task)
    (folder / "rows.py").write_text("def english(doc):\n    return doc['lang'] == 'en'\n")
    return define(select_tasks(["mine"], data={}, include=[folder])[0])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as a repository on the hub, and caches of our own."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("MAESTRO_EVAL_CACHE", str(tmp_path / "ours"))
    for split, count in (("test", 30), ("train", 3)):
        columns: dict[str, tuple[str, list[Any]]] = {
            "question": ("string", [f"{split} {number}" for number in range(count)]),
            "answer": ("string", [str(number) for number in range(count)]),
            "image": ("image", [png(width=8 + number) for number in range(count)]),
            "lang": ("string", ["en" if number % 3 == 0 else "zh" for number in range(count)]),
        }
        write_rows(tmp_path / "repository" / "data" / f"{split}-00000-of-00001.parquet", columns)
    return tmp_path / "repository"


def opened(definition: Definition, path: Path) -> Any:
    return open_task(select_tasks(["mine"], data={"mine": str(path)}, include=[definition.path.parent])[0])


@pytest.mark.parametrize("first", [None, 20])
def test_what_is_fetched_is_read(tmp_path: Path, repository: Path, first: int | None) -> None:
    from maestro_eval.tasks.hub import fetch

    definition = structs.replace(defined(tmp_path / "tasks"), dataset_path=str(repository))
    fetched = fetch(definition, first)
    task = opened(definition, fetched.path)
    assert task.ids() == [str(number) for number in range(first or 30)]
    loaded = task.load("17")
    assert (loaded.sample.question, loaded.sample.targets) == ("test 17", ("17",))
    assert loaded.images[0].data == png(width=25)
    assert task.data_hash


def test_what_is_not_kept_does_not_count_among_the_first(tmp_path: Path, repository: Path) -> None:
    from maestro_eval.tasks.hub import fetch

    definition = structs.replace(defined(tmp_path / "tasks", KEEP), dataset_path=str(repository))
    assert opened(definition, fetch(definition, 5).path).ids() == ["0", "3", "6", "9", "12"]


def test_more_than_there_is_fetches_all(tmp_path: Path, repository: Path) -> None:
    from maestro_eval.tasks.hub import fetch

    definition = structs.replace(defined(tmp_path / "tasks"), dataset_path=str(repository))
    assert len(opened(definition, fetch(definition, 1000).path).ids()) == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "valid"}, "has no split valid"),
        ({"dataset_name": "small"}, "has no configuration small"),
    ],
)
@pytest.mark.parametrize("first", [None, 5])
def test_what_the_repository_has_not_is_one_line(
    tmp_path: Path, repository: Path, changes: dict[str, str], message: str, first: int | None
) -> None:
    from maestro_eval.tasks.hub import fetch

    definition = structs.replace(defined(tmp_path / "tasks"), dataset_path=str(repository), **changes)
    with pytest.raises(UserError, match=f"^mine: .*{message}.*; or pass --data mine=PATH$") as caught:
        fetch(definition, first)
    assert "\n" not in str(caught.value)


def test_json_with_a_zip_of_images_is_downloaded_as_it_is(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from maestro_eval.tasks.hub import fetch

    definition = defined(tmp_path / "tasks", TASK.replace("metric: integer", "metric: integer\n    images_in: imgs"))
    snapshot = tmp_path / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "test.json").write_text('[{"question": "q", "answer": "1", "image": "x/a.png"}]')
    with zipfile.ZipFile(snapshot / "imgs.zip", "w") as archive:
        archive.writestr("imgs/x/a.png", png())
    asked = []

    def download(repo_id: str, filename: str, **how: object) -> str:
        asked.append((repo_id, filename, how))
        return str(snapshot / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    fetched = fetch(structs.replace(definition, revision="a" * 40))
    assert fetched.revision == "a" * 40
    how = {"repo_type": "dataset", "revision": "a" * 40}
    assert asked == [("someone/something", "test.json", how), ("someone/something", "imgs.zip", how)]
    assert opened(definition, fetched.path).load("0").images[0].data == png()


class Hub:
    """The few answers of the hub that fetching a dataset needs, given on loopback, for one repository."""

    commit = "c" * 40

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refused = ""
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = hub.answer(urlsplit(self.path), self.headers.get("Range", ""))
                hub.asked.append(f"{self.command} {self.path}")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, url: SplitResult, wanted: str) -> tuple[int, dict[str, str], bytes]:
        if self.refused or "someone/something" not in url.path:
            return 403 if self.refused else 404, {"X-Error-Code": self.refused or "RepoNotFound"}, b"{}"
        kind, rest = url.path.split("someone/something", 1)
        listing = re.fullmatch(r"/tree/\w+/?(.*)", rest)
        file = re.fullmatch(r"/resolve/\w+/(.*)", rest)
        if file is not None:
            return self.file(self.folder / file[1], wanted)
        if listing is not None and (self.folder / listing[1]).is_dir():
            return 200, {}, json.dumps([self.entry(one) for one in (self.folder / listing[1]).iterdir()]).encode()
        if kind == "/api/datasets/" and listing is None:
            return 200, {}, json.dumps({"id": "someone/something", "sha": self.commit, "siblings": []}).encode()
        return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"

    def entry(self, path: Path) -> dict[str, object]:
        name = str(path.relative_to(self.folder))
        kind = "file" if path.is_file() else "directory"
        return {"type": kind, "path": name, "size": path.stat().st_size, "oid": hashlib.sha1(name.encode()).hexdigest()}

    def file(self, path: Path, wanted: str) -> tuple[int, dict[str, str], bytes]:
        if not path.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.commit}, b"{}"
        body = path.read_bytes()
        headers = {"X-Repo-Commit": self.commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        if part is None:
            return 200, headers, body
        begin, end = int(part[1]), min(int(part[2] or len(body)), len(body) - 1)
        return 206, {**headers, "Content-Range": f"bytes {begin}-{end}/{len(body)}"}, body[begin : end + 1]


@pytest.fixture
def hub(repository: Path) -> Iterator[Hub]:
    server = Hub(repository)
    yield server
    server.stop()


CLIENT = """\
import json, sys
from pathlib import Path
from msgspec import structs
from maestro_eval.tasks import localise, open_task, select_tasks
from maestro_eval.records import UserError
try:
    (spec,) = select_tasks(["mine"], data={}, include=[Path(sys.argv[1])])
    spec = localise(structs.replace(spec, first=json.loads(sys.argv[2])))
    task = open_task(spec)
    print(json.dumps([len(task.ids()), task.load("6").sample.question, task.record.revision, spec.data]))
except UserError as error:
    print(error)
"""


def from_hub(tmp_path: Path, first: int | None = None, **environment: str) -> str:
    """What a process of its own prints: the libraries read their settings when they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(tmp_path / "tasks"), json.dumps(first)],
        env={**os.environ, "HF_HOME": str(tmp_path / "hf_home"), **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    return line


def test_a_dataset_is_fetched_once_and_known_by_its_commit(tmp_path: Path, hub: Hub) -> None:
    defined(tmp_path / "tasks")
    line = from_hub(tmp_path, HF_ENDPOINT=hub.url)
    assert json.loads(line)[:3] == [30, "test 6", Hub.commit]
    hub.stop()
    assert from_hub(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1") == line
    # All of it is here, so the first rows are too.
    assert from_hub(tmp_path, first=7, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1") == line


def test_the_first_rows_are_streamed_and_kept(tmp_path: Path, hub: Hub) -> None:
    defined(tmp_path / "tasks")
    line = from_hub(tmp_path, first=7, HF_ENDPOINT=hub.url)
    assert json.loads(line)[:3] == [7, "test 6", Hub.commit]
    assert json.loads(line)[3].startswith(str(tmp_path / "ours"))
    hub.asked.clear()
    assert from_hub(tmp_path, first=7, HF_ENDPOINT=hub.url) == line
    assert not [one for one in hub.asked if ".parquet" in one]


@pytest.mark.parametrize(
    ("dataset", "refused", "reason"),
    [
        ("someone/something", "GatedRepo", "is gated; accept its terms on https://huggingface.co/datasets/someone/"),
        ("someone/else", "", "the hub has no such dataset, or it is private"),
    ],
)
def test_a_dataset_that_is_not_given_is_one_line(
    tmp_path: Path, hub: Hub, dataset: str, refused: str, reason: str
) -> None:
    defined(tmp_path / "tasks", TASK.replace("someone/something", dataset))
    hub.refused = refused
    line = from_hub(tmp_path, HF_ENDPOINT=hub.url)
    assert line.startswith(f"mine: {dataset}: {reason}")
    assert line.endswith("; or pass --data mine=PATH")


@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_a_hub_out_of_reach_is_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("datasets")
    defined(tmp_path / "tasks")
    line = from_hub(tmp_path, **environment)
    assert line.startswith("mine: someone/something: the Hugging Face hub cannot be reached")
    assert line.endswith("; or pass --data mine=PATH")


def test_without_the_hubs_libraries_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maestro_eval.tasks.hub import fetch

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"^mine: no data given; pip install 'maestro-eval\[hub\]'"):
        fetch(defined(tmp_path / "tasks"))
