"""Bombs in what comes in, through the real command line and a real server: bounded, and one line each.

docs/security.md lists every kind of input with its bound and its test; here are those that no room tests for itself.
"""

from __future__ import annotations

import http.server
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
from integration.conftest import command, environment, write_chartqa, write_registry

from maestro_eval.files import load_yaml, open_parquet
from maestro_eval.journal import Journal
from maestro_eval.records import Answered, UserError
from maestro_eval.tasks.column_types import Column
from maestro_eval.tasks.sources import ColumnarSource

MEMORY_MB = 700
SECONDS = 20


def bounded(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line where no more memory than this can be had, nor more CPU time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MB << 20, MEMORY_MB << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, check=False, preexec_fn=limit
    )  # fmt: skip


def laughs(levels: int) -> str:
    """A billion laughs: each line stands for ten of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def merges(levels: int) -> str:
    """The same by merge keys, which are written out as they are read."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


YAML_BOMBS = {
    "aliases of aliases": laughs(12),
    "merges of merges": merges(9),
    "a list within itself": "a: &a [*a, *a]\n",
    "a deep nest": "a: " + "[" * 50_000 + "\n",
    "a long file": "a: b\n" + "# x\n" * 300_000,
}


@pytest.mark.parametrize("text", YAML_BOMBS.values(), ids=YAML_BOMBS)
def test_a_yaml_bomb_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text("schema: 1\nname: theirs\n" + text)
    checked = bounded("registry", "check", "r.yaml", cwd=tmp_path)
    assert (checked.returncode, len(checked.stderr.splitlines())) == (2, 1), checked.stderr[-500:]


def test_yaml_with_aliases_as_people_write_them_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: &base {x: 1, y: [1, 2]}\nall:\n" + "".join("- {<<: *base, z: 2}\n" for _ in range(300)))
    assert len(load_yaml(path).data["all"]) == 300


def test_a_parquet_bomb_is_one_line(tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", "http://127.0.0.1:9/v1")
    value = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 8, pyarrow.int32()), ["x" * (128 << 20)])
    columns = {name: pyarrow.array(["a"] * 8) for name in ("type", "answer")}
    images = pyarrow.array([{"bytes": b"", "path": "0.png"}] * 8)
    table = pyarrow.table({"question": value, **columns, "image": images})
    path = tmp_path / "test-00000-of-00001.parquet"
    pyarrow.parquet.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 30_000
    refused = bounded(
        "run", "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa",
        "--data", f"maestro_chartqa={path}", "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr[-500:]
    assert "would unpack to 134,2" in refused.stderr.splitlines()[-1]


def varint(number: int, length: int = 0) -> bytes:
    """A number of Thrift's compact protocol, in so many bytes at least."""
    number, digits = number << 1, []
    while number or len(digits) < max(1, length):
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes((*digits[:-1], digits[-1] & 127))


def test_a_parquet_bomb_whose_footer_lies_is_one_line(tmp_path: Path) -> None:
    value = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0], pyarrow.int32()), ["x" * (65 << 20)])
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": value}), path, compression="zstd")
    told = varint(pyarrow.parquet.read_metadata(path).row_group(0).column(0).total_uncompressed_size)
    whole = path.read_bytes()
    assert told in whole
    path.write_bytes(whole.replace(told, varint(1000, len(told))))
    assert pyarrow.parquet.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 1000
    with pytest.raises(UserError, match="would unpack to 68,1"):
        open_parquet(path, 8)


def test_every_parquet_file_of_a_writer_is_read(tmp_path: Path) -> None:
    table = pyarrow.table({"a": ["x", None, "z"] * 500, "b": range(1500), "c": [{"d": [b"1", b""]}] * 1500})
    for number, (codec, version, dictionary) in enumerate(
        product(("none", "snappy", "gzip", "zstd"), ("1.0", "2.0"), (True, False))
    ):
        path = tmp_path / f"{number}.parquet"
        pyarrow.parquet.write_table(
            table,
            path,
            compression=codec,
            data_page_version=version,
            use_dictionary=dictionary,
            row_group_size=400,
            data_page_size=900,
        )
        assert sum(batch.num_rows for batch in open_parquet(path, 1000)) == 1500


@pytest.mark.parametrize("codec", ["zstd", "lz4", None])
def test_a_compressed_arrow_stream_is_one_line(tmp_path: Path, codec: str | None) -> None:
    path, table = tmp_path / "a.arrow", pyarrow.table({"a": ["x" * 1_000_000, "y"], "b": [b"", None]})
    options = pyarrow.ipc.IpcWriteOptions(compression=codec)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema, options=options) as stream:
        stream.write_table(table)
        stream.write_table(table)
    if codec is None:
        assert ColumnarSource([path], {"a": Column("string")}).row(3) == {"a": "y"}
        return
    with pytest.raises(UserError, match=r"a\.arrow: its batches are compressed"):
        ColumnarSource([path], {"a": Column("string")})


# A column whose metadata are a list.
WITHOUT_METADATA = bytes.fromhex("491c191c3905000000")


@pytest.mark.parametrize(
    "damage",
    [lambda footer: footer[:-9], lambda footer: b"\xff" * len(footer), lambda _: b"", lambda _: WITHOUT_METADATA],
)
def test_a_damaged_footer_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    footer = damage(whole[-8 - length : -8])
    path.write_bytes(whole[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(UserError, match=r"a\.parquet"):
        list(open_parquet(path, 8))


# Replies


class _Raw(http.server.BaseHTTPRequestHandler):
    """Sends the server's bytes, whatever it is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._send(self.server.reply)  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self._send(b'{"object": "list", "data": [{"id": "m"}]}')

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def raw() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Raw) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def reply(content: str) -> bytes:
    """A completion; ``content`` is JSON's own spelling of the text."""
    message = f'{{"role": "assistant", "content": "{content}"}}'
    return f'{{"choices": [{{"index": 0, "message": {message}, "finish_reason": "stop"}}]}}'.encode()


def run_chartqa(folder: Path, url: str, policy: str) -> subprocess.CompletedProcess[str]:
    data = write_chartqa(folder / "d", [{"question": "Item?", "answer": "4"}])
    registry = write_registry(folder / "r.yaml", url)
    return bounded(
        "run", "--policy", policy, "--registry", registry, "--tasks", "maestro_chartqa", "--quiet",
        "--data", f"maestro_chartqa={data}", "--out", "out", cwd=folder,
    )  # fmt: skip


def test_half_a_character_in_a_reply_is_a_mark_and_no_failure(
    tmp_path: Path, raw: http.server.ThreadingHTTPServer
) -> None:
    raw.reply = reply(r"\ud83d\ude00 \\ud800 Answer: \ud800 4 \udc00")  # type: ignore[attr-defined]
    assert run_chartqa(tmp_path, f"http://127.0.0.1:{raw.server_port}/v1", "direct:oracle").returncode == 0
    with Journal.open(tmp_path / "out", read_only=True) as journal:
        ((rollout, _),) = list(journal.rollouts())
    assert isinstance(rollout.outcome, Answered)
    assert rollout.outcome.text == "\U0001f600 \\ud800 Answer: � 4 �"


NESTS = [b"[" * 400_000, reply("[" * 400_000), reply("{" * 400_000), reply("<answer>" * 50_000)]


@pytest.mark.parametrize("body", NESTS, ids=["JSON itself", "brackets", "braces", "tags"])
def test_a_nested_reply_of_400_kb_costs_neither_memory_nor_time(
    tmp_path: Path, raw: http.server.ThreadingHTTPServer, body: bytes
) -> None:
    raw.reply = body  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{raw.server_port}/v1"
    assert run_chartqa(tmp_path, url, f"openai:{url}#m").returncode in (0, 3)


def test_a_picture_that_is_a_link_to_itself_fails_its_sample_alone(
    tmp_path: Path, raw: http.server.ThreadingHTTPServer
) -> None:
    raw.reply = reply("Answer: 4")  # type: ignore[attr-defined]
    data = write_chartqa(tmp_path / "d", [{"question": f"Item {n}?", "answer": "4"} for n in range(2)])
    (tmp_path / "d" / "1.png").unlink()
    (tmp_path / "d" / "1.png").symlink_to("1.png")
    registry = write_registry(tmp_path / "r.yaml", f"http://127.0.0.1:{raw.server_port}/v1")
    ran = bounded(
        "run", "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa", "--quiet",
        "--data", f"maestro_chartqa={data}", "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 3
    assert "Symlink loop" in " ".join(ran.stdout.split())
    assert "harness" not in ran.stdout
