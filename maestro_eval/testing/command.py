"""``maestro-eval serve-simulated``: serve a simulated model, for dry runs and tests.

``python -m maestro_eval.testing`` is the same on a free port, for tests and benchmarks.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from pathlib import Path

import msgspec

from maestro_eval.cli import DONE, add_port, listening, positive, seconds
from maestro_eval.records import UserError
from maestro_eval.testing.behaviour import Latency
from maestro_eval.testing.faults import parse_faults
from maestro_eval.testing.server import ServedRequest, SimulatedServer
from maestro_eval.text import load_tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser, 8378)
    parser.add_argument("--exit-with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--reply", metavar="TEXT", help="the text of every reply (default: Answer: 4)")
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="a model that is served; may be repeated (default: any)"
    )
    parser.add_argument("--latency", type=seconds, metavar="S", help="minimum seconds of each reply (0)")
    parser.add_argument("--prefill", type=seconds, metavar="S", help="seconds more for each token of the prompt (0)")
    parser.add_argument("--decode", type=seconds, metavar="S", help="seconds more for each token of the reply (0)")
    parser.add_argument("--slots", type=positive, metavar="N", help="requests served at once; the rest queue (256)")
    parser.add_argument("--cache-tokens", type=positive, metavar="N", help="size of the KV cache (1048576)")
    parser.add_argument(
        "--fault",
        action="append",
        metavar="KIND@N|KIND%P",
        help="a fault of the N-th request, or of P percent of them; may be repeated. KIND is a "
        "status (429, 503, …), hang, drip, cut, truncated, malformed, empty, null or wrong_type",
    )
    parser.add_argument("--no-metrics", action="store_true", help="no /metrics, as of a server that is not vLLM")
    parser.add_argument(
        "--chat-template",
        type=Path,
        metavar="FILE",
        help="render messages by it, as vLLM does: answer /tokenize and give token ids (with --tokenizer)",
    )
    parser.add_argument("--tokenizer", metavar="PATH", help="a tokenizer.json, qwen.tiktoken, or a checkpoint's folder")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append one JSON line per request here")


def run(options: argparse.Namespace) -> int:
    """Print ``listening URL`` and serve until Ctrl-C, SIGTERM or, on request, the end of standard input."""
    given = {
        "base_s": options.latency,
        "per_prompt_token_s": options.prefill,
        "per_completion_token_s": options.decode,
        "slots": options.slots,
        "cache_tokens": options.cache_tokens,
    }
    latency = Latency(**{name: value for name, value in given.items() if value is not None})
    faults = parse_faults(options.fault or ())
    reply = "Answer: 4" if options.reply is None else options.reply
    if (options.chat_template is None) != (options.tokenizer is None):
        raise UserError(
            "--chat-template and --tokenizer go together: prompts are rendered by one, encoded by the other"
        )
    template = _read(options.chat_template) if options.chat_template else ""
    tokenizer = load_tokenizer(options.tokenizer) if options.tokenizer else None

    async def serve() -> None:
        server = SimulatedServer(
            reply=reply,
            models=options.model or (),
            latency=latency,
            faults=faults,
            metrics=not options.no_metrics,
            chat_template=template,
            tokenizer=tokenizer,
            port=options.port,
            on_request=_Log(options.log) if options.log else None,
        )
        await _until_stopped(server, exit_with_parent=options.exit_with_parent)

    with listening(options.port):
        asyncio.run(serve())
    return DONE


def _read(template: Path) -> str:
    try:
        return template.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--chat-template {template}: cannot be read ({error})") from None


async def _until_stopped(server: SimulatedServer, *, exit_with_parent: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if exit_with_parent:
        threading.Thread(target=_wait_for_end_of_input, args=(loop, stop), daemon=True).start()
    async with server:
        print(f"listening {server.url}", flush=True)
        await stop.wait()


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # The file is unbuffered, because a read of the buffered stdin locks it and the interpreter needs the lock at exit.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:
        while stdin.read(4096):
            pass
    loop.call_soon_threadsafe(stop.set)


class _Log:
    """Appends records to a file as JSON lines; it opens the file for each, so that a killed process loses none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, record: ServedRequest) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
