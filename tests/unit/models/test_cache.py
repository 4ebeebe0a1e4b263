"""The call cache: what is found again, what is never kept, and that it never costs a call."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from patience import PATIENCE_S, wait_until

from maestro_eval.models import CallCache, ExpertClient, ModelAsk, RetryPolicy, cache, make_cache_folder
from maestro_eval.models.openai_codec import Reply
from maestro_eval.records import (
    Endpoint,
    ExpertCall,
    Image,
    ImagePart,
    ImageRef,
    Message,
    Part,
    Sampling,
    TextPart,
    Usage,
    UserError,
)
from maestro_eval.testing import Fault, Latency, SimulatedServer, always, on_requests

QUICK = RetryPolicy(base_s=0.001, cap_s=0.002)


def cached_ask(endpoint: Endpoint, text: str = "2+2?", sampling: Sampling | None = None, **fields: object) -> ModelAsk:
    message = Message("user", (TextPart(text),))
    return msgspec.structs.replace(
        ModelAsk("expert", "adder", "m", endpoint, (message,), sampling or Sampling()), **fields
    )


async def ask_each(
    folder: Path, server: SimulatedServer, *asks: ModelAsk, endpoint: Endpoint | None = None
) -> list[ExpertCall]:
    """Each ask in turn, by a client (and a cache) of its own: what one finds, another has left on the disk."""
    calls = []
    for ask in asks or (cached_ask(endpoint or Endpoint("e", server.url)),):
        async with ExpertClient(retry=QUICK, cache=CallCache(folder)) as client:
            calls.append(await client.call(ask))
    return calls


# The key

names = st.text(min_size=1, max_size=8)
whole_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
images = st.builds(
    lambda data, media: ImagePart(Image(ImageRef(f"sha-{data}", media, 1, 1, 1), b"unread")),
    st.integers(0, 3),
    st.sampled_from(["image/png", "image/jpeg"]),
)
messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant"]),
        st.lists(st.one_of(st.builds(TextPart, whole_texts), images), max_size=4).map(tuple),
    ),
    max_size=3,
).map(tuple)
samplings = st.builds(
    Sampling,
    temperature=st.one_of(st.none(), st.floats(0, 2)),
    top_p=st.one_of(st.none(), st.floats(0, 1)),
    max_tokens=st.one_of(st.none(), st.integers(1, 9)),
    seed=st.one_of(st.none(), st.integers(0, 9)),
    stop=st.lists(whole_texts, max_size=2).map(tuple),
)
endpoints = st.builds(
    Endpoint,
    name=names,
    url=names,
    api_key_env=names,
    concurrency=st.integers(1, 9),
    timeout_s=st.floats(1, 9),
    max_tries=st.integers(1, 9),
)
asks = st.builds(
    ModelAsk, st.sampled_from(["expert", "service", "policy"]), names, whole_texts, endpoints, messages, samplings
)


def what_is_said(ask: ModelAsk) -> list[tuple[str, list[tuple[str, ...]]]]:
    """The messages as a model sees them: adjacent texts are one text, an empty one is none."""
    said = []
    for message in ask.messages:
        parts: list[tuple[str, ...]] = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                parts.append(("image", part.image.ref.sha256, part.image.ref.media_type))
            elif part.text and parts and parts[-1][0] == "text":
                parts[-1] = ("text", parts[-1][1] + part.text)
            elif part.text:
                parts.append(("text", part.text))
        said.append((message.role, parts))
    return said


def call_key(ask: ModelAsk, program: str = "") -> bytes:
    return CallCache(Path("nowhere"), programs={ask.endpoint.start: program}).key(ask)


@given(asks, asks)
def test_asks_have_the_same_key_exactly_if_a_model_is_told_the_same(one, other):
    told = [(ask.model, what_is_said(ask), ask.sampling) for ask in (one, other)]
    assert (call_key(one) == call_key(other)) == (told[0] == told[1])


@given(asks, endpoints, names, st.sampled_from(["expert", "service", "policy"]))
def test_where_under_which_name_and_how_patiently_is_asked_is_not_in_the_key(ask, endpoint, name, kind):
    elsewhere = msgspec.structs.replace(ask, endpoint=endpoint, name=name, kind=kind)
    assert call_key(elsewhere) == call_key(ask)


@given(asks, st.data())
def test_each_field_that_can_change_the_reply_changes_the_key(ask, data):
    field = data.draw(st.sampled_from(["model", "revision", "messages", "kind of endpoint", "program", "sampling"]))
    program, changed = "", ask
    if field == "model":
        changed = msgspec.structs.replace(ask, model=ask.model + "x")
    elif field == "revision":
        changed = msgspec.structs.replace(ask, revision="r2")
    elif field == "messages":
        changed = msgspec.structs.replace(ask, messages=data.draw(messages))
        assume(what_is_said(changed) != what_is_said(ask))
    elif field == "kind of endpoint":
        changed = msgspec.structs.replace(ask, endpoint=msgspec.structs.replace(ask.endpoint, start="embedded"))
    elif field == "program":
        program = "sources v2"
    else:
        changed = msgspec.structs.replace(ask, sampling=data.draw(samplings))
        assume(changed.sampling != ask.sampling)
    assert call_key(changed, program) != call_key(ask)


def test_who_wrote_a_text_does_not_reach_the_model_nor_the_key():
    endpoint = Endpoint("e", "u")
    one = cached_ask(endpoint, messages=(Message("user", (TextPart("ab", "question"),)),))
    other = cached_ask(endpoint, messages=(Message("user", (TextPart("a"), TextPart("b", "policy"))),))
    assert call_key(one) == call_key(other)


def test_text_that_looks_like_an_image_is_none():
    image = ImagePart(Image(ImageRef("ff", "image/png", 1, 1, 1), b""))
    said: Sequence[Part] = (TextPart("image/png;sha256,ff"),)
    endpoint = Endpoint("e", "u")
    keys = {call_key(cached_ask(endpoint, messages=(Message("user", tuple(parts)),))) for parts in (said, [image])}
    assert len(keys) == 2


def test_half_a_surrogate_pair_has_a_key():
    assert call_key(cached_ask(Endpoint("e", "u"), "\ud83d")) != call_key(cached_ask(Endpoint("e", "u"), "x"))


# What is kept


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(temperature=0.0), True),
        (Sampling(temperature=0.7), False),
        (Sampling(temperature=None), False),
        (Sampling(temperature=0.7, seed=0), True),
        (Sampling(temperature=None, seed=5), True),
    ],
)
async def test_sampled_calls_are_asked_each_time_unless_a_seed_is_set(tmp_path, sampling, kept):
    async with SimulatedServer() as server:
        ask = cached_ask(Endpoint("e", server.url), sampling=sampling)
        first, second = await ask_each(tmp_path, server, ask, ask)
    assert (first.cached, second.cached, len(server.requests)) == (False, kept, 1 if kept else 2)


async def test_a_sampled_call_that_may_be_used_again_is_kept(tmp_path):
    async with SimulatedServer() as server:
        ask = cached_ask(Endpoint("e", server.url), sampling=Sampling(temperature=None))
        ask = msgspec.structs.replace(ask, reuse=True)
        first, second = await ask_each(tmp_path, server, ask, ask)
    assert (first.cached, second.cached, len(server.requests)) == (False, True, 1)


async def test_a_kept_reply_is_the_same_record_but_for_what_it_cost(tmp_path):
    async with SimulatedServer(reply="Answer: 4") as server:
        ask = cached_ask(Endpoint("e", server.url))
        first, second = await ask_each(tmp_path, server, ask, ask)
    assert (first.tries, second.tries, second.cached) == (1, 0, True)
    assert second.usage == first.usage != Usage()
    same = {"tries": 0, "cached": True, "timing": second.timing}
    assert msgspec.structs.replace(first, **same) == second


async def test_a_reply_is_found_at_another_address_and_while_the_server_is_down(tmp_path):
    async with SimulatedServer() as server:
        await ask_each(tmp_path, server)
        moved = Endpoint("other", "http://127.0.0.1:1/v1", api_key_env="NO_SUCH_KEY", timeout_s=1.0)
        (call,) = await ask_each(tmp_path, server, endpoint=moved)
    assert (call.reply, call.cached, call.error, call.endpoint) == ("Answer: 4", True, "", moved.url)


@pytest.mark.parametrize("kind", ["status", "cut", "truncated", "malformed", "empty", "null", "wrong_type", "hang"])
async def test_a_failure_is_never_kept(tmp_path, kind):
    async with SimulatedServer(faults=on_requests({1: Fault(kind)})) as server:
        endpoint = Endpoint("e", server.url, max_tries=1, timeout_s=0.5 if kind == "hang" else 20.0)
        failed, good, again = await ask_each(tmp_path, server, *[cached_ask(endpoint)] * 3)
    assert (bool(failed.error), failed.cached) == (True, False)
    assert (good.error, good.cached, again.cached, len(server.requests)) == ("", False, True, 2)


async def test_only_a_reply_that_the_model_or_the_ask_ended_is_kept(tmp_path):
    unlimited, limited = (cached_ask(Endpoint("e", "u"), sampling=Sampling(max_tokens=limit)) for limit in (None, 5))
    for number, (reason, tokens, ask, kept) in enumerate(
        [
            ("stop", 3, unlimited, True),
            ("stop", 3, limited, True),
            ("length", 5, limited, True),
            ("length", 4, limited, False),
            ("length", 5, unlimited, False),
            ("", 3, unlimited, False),
            ("content_filter", 3, unlimited, False),
        ]
    ):
        stored = CallCache(tmp_path / str(number))
        stored.store(b"key", ask, Reply("text", reason, Usage(1, tokens)))
        assert (await stored.find(b"key") is not None) == kept, (reason, tokens)
        await stored.close()


async def test_a_reply_cut_by_the_asks_own_limit_is_found_with_its_reason(tmp_path):
    async with SimulatedServer(reply="x" * 100) as server:
        ask = cached_ask(Endpoint("e", server.url), sampling=Sampling(max_tokens=5))
        first, second = await ask_each(tmp_path, server, ask, ask)
    assert (first.finish_reason, second.finish_reason, second.cached) == ("length", "length", True)


async def test_a_policys_own_turns_are_not_kept(tmp_path):
    async with SimulatedServer() as server:
        ask = cached_ask(Endpoint("e", server.url), kind="policy")
        assert [call.cached for call in await ask_each(tmp_path, server, ask, ask)] == [False, False]


async def test_a_program_of_ours_that_has_changed_is_asked_again(tmp_path):
    async with SimulatedServer() as server:
        ask = cached_ask(Endpoint("e", server.url, start="embedded"))
        found = []
        for revision in ("1", "1", "2"):
            async with ExpertClient(cache=CallCache(tmp_path, programs={"embedded": revision})) as client:
                found.append((await client.call(ask)).cached)
    assert found == [False, True, False]


async def test_without_a_cache_every_call_is_made():
    async with SimulatedServer() as server, ExpertClient() as client:
        calls = [await client.call(cached_ask(Endpoint("e", server.url))) for _ in range(2)]
    assert ([call.cached for call in calls], len(server.requests)) == ([False, False], 2)


# Equal calls in flight


async def test_equal_calls_in_flight_cost_one_request(tmp_path):
    async with (
        SimulatedServer(latency=Latency(base_s=0.05)) as server,
        ExpertClient(cache=CallCache(tmp_path)) as client,
    ):
        endpoint = Endpoint("e", server.url)
        calls = await asyncio.gather(*(client.call(cached_ask(endpoint, text)) for text in "aaaabb"))
    assert sorted(request.text for request in server.requests) == ["a", "b"]
    assert sorted(call.tries for call in calls) == [0, 0, 0, 0, 1, 1]
    assert all(call.cached == (call.tries == 0) and call.reply == "Answer: 4" for call in calls)


async def test_equal_calls_in_flight_share_a_failure_and_none_is_called_cached(tmp_path):
    async with (
        SimulatedServer(faults=always(Fault("status", 400)), latency=Latency(base_s=0.05)) as server,
        ExpertClient(cache=CallCache(tmp_path)) as client,
    ):
        calls = await asyncio.gather(*(client.call(cached_ask(Endpoint("e", server.url))) for _ in range(3)))
    assert len(server.requests) == 1
    assert all(call.error.startswith("http 400") and not call.cached for call in calls)


async def test_equal_calls_at_different_endpoints_do_not_share_a_failure(tmp_path):
    async with SimulatedServer() as server, ExpertClient(retry=QUICK, cache=CallCache(tmp_path)) as client:
        down, up = Endpoint("down", "http://127.0.0.1:1/v1", max_tries=1), Endpoint("up", server.url)
        failed, good = await asyncio.gather(client.call(cached_ask(down)), client.call(cached_ask(up)))
    assert failed.error.startswith("connection")
    assert good.error == ""


async def test_a_deadline_of_the_first_is_not_the_others(tmp_path):
    async with (
        SimulatedServer(faults=on_requests({1: Fault("hang")})) as server,
        ExpertClient(cache=CallCache(tmp_path)) as client,
    ):
        ask = cached_ask(Endpoint("e", server.url))
        first, *others = await asyncio.gather(
            client.call(ask, deadline=time.monotonic() + 0.5), client.call(ask), client.call(ask)
        )
    assert first.error.startswith("deadline")
    assert [call.error for call in others] == ["", ""]
    assert len(server.requests) == 2


async def test_the_cancellation_of_the_first_is_not_the_others(tmp_path):
    arrived = asyncio.Event()
    faults = on_requests({1: Fault("hang")})
    async with (
        SimulatedServer(faults=faults, on_request=lambda record: arrived.set()) as server,
        ExpertClient(cache=CallCache(tmp_path)) as client,
    ):
        ask = cached_ask(Endpoint("e", server.url))
        first, second = asyncio.create_task(client.call(ask)), asyncio.create_task(client.call(ask))
        await arrived.wait()
        first.cancel()
        assert (await asyncio.wait_for(second, PATIENCE_S)).error == ""
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_who_waits_for_an_equal_call_still_has_a_deadline(tmp_path):
    arrived = asyncio.Event()
    async with (
        SimulatedServer(faults=always(Fault("hang")), on_request=lambda record: arrived.set()) as server,
        ExpertClient(cache=CallCache(tmp_path)) as client,
    ):
        ask = cached_ask(Endpoint("e", server.url))
        first = asyncio.create_task(client.call(ask))
        await arrived.wait()
        late = await asyncio.wait_for(client.call(ask, deadline=time.monotonic() + 0.05), PATIENCE_S)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert (late.error.split(":")[0], late.tries, len(server.requests)) == ("deadline", 0, 1)


# A cache that is damaged, full, locked or none


async def notes_of(folder: Path, caplog: pytest.LogCaptureFixture, asked: int = 3) -> tuple[list[str], int]:
    """What is logged while ``asked`` different calls are made with the cache in ``folder``, each twice."""
    caplog.set_level(logging.WARNING)
    async with SimulatedServer() as server, ExpertClient(cache=CallCache(folder)) as client:
        texts = [str(number) for number in range(asked)] * 2
        calls = [await client.call(cached_ask(Endpoint("e", server.url), text)) for text in texts]
    assert all(call.error == "" and call.reply == "Answer: 4" for call in calls)
    return [record.getMessage() for record in caplog.records if "calls.db" in record.getMessage()], len(server.requests)


@pytest.mark.parametrize("damage", ["not a database", "torn in the middle", "another program's", "from the future"])
async def test_a_damaged_file_is_noted_once_and_done_without(tmp_path, caplog, damage):
    path = tmp_path / "calls.db"
    if damage == "not a database":
        path.write_bytes(b"hello " * 1000)
    else:
        async with SimulatedServer() as server:
            long = [cached_ask(Endpoint("e", server.url), "q" * 500, model="m" * 2000 + str(n)) for n in range(20)]
            await ask_each(tmp_path, server, *long)
        with sqlite3.connect(path) as connection:
            if damage == "another program's":
                connection.execute("ALTER TABLE replies RENAME TO theirs")
            if damage == "from the future":
                connection.execute("PRAGMA user_version = 99")
        connection.close()
        if damage == "torn in the middle":
            data = path.read_bytes()
            path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    notes, requests = await notes_of(tmp_path, caplog)
    assert len(notes) == 1
    assert "calls go on without it" in notes[0]
    assert requests == 6


async def test_a_damaged_file_is_noted_once_by_many_look_ups_at_once(tmp_path, caplog):
    (tmp_path / "calls.db").write_bytes(b"not a database" * 999)
    damaged = CallCache(tmp_path)
    found = await asyncio.gather(*(damaged.find(str(number).encode()) for number in range(50)))
    await damaged.close()
    assert found == [None] * 50
    assert len([record for record in caplog.records if "calls.db" in record.getMessage()]) == 1


async def test_a_folder_that_cannot_be_is_noted_and_done_without(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    notes, requests = await notes_of(tmp_path / "file" / "cache", caplog)
    assert (len(notes), requests) == (1, 6)


def test_a_folder_that_cannot_be_is_an_error_of_the_user_beforehand(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="--cache"):
        make_cache_folder(tmp_path / "file" / "cache")
    make_cache_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


async def test_a_full_disk_ends_writing_and_not_reading(tmp_path, caplog, monkeypatch):
    async with SimulatedServer() as server:
        await ask_each(tmp_path, server, cached_ask(Endpoint("e", server.url), "0"))
    connect = CallCache._open

    def connect_to_full_disk(self: CallCache) -> sqlite3.Connection:
        connection = connect(self)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(CallCache, "_open", connect_to_full_disk)
    notes, requests = await notes_of(tmp_path, caplog, asked=60)
    assert len(notes) == 1
    assert "full" in notes[0]
    # The one that was there is found both times; of the others, those that still fitted are found the second time.
    assert 59 < requests < 118


async def test_a_lock_held_by_others_is_noted_once_and_only_that_reply_is_lost(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(cache, "_LOCK_S", 0.02)
    async with SimulatedServer() as server:
        endpoint = Endpoint("e", server.url)
        await ask_each(tmp_path, server)
        other = sqlite3.connect(tmp_path / "calls.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        locked = [cached_ask(endpoint, text) for text in ("a", "b")]
        async with ExpertClient(cache=CallCache(tmp_path)) as client:
            assert not any([(await client.call(ask)).cached for ask in locked])
            # Looked up in the cache's thread, behind the two that could not be written.
            assert (await client.call(cached_ask(endpoint))).cached
            other.execute("ROLLBACK")
            other.close()
            assert [(await client.call(ask)).cached for ask in locked] == [False, False]
        assert [call.cached for call in await ask_each(tmp_path, server, *locked)] == [True, True]
    assert [record.getMessage().split(": ")[1].split(" for")[0] for record in caplog.records] == [
        "locked by another process"
    ]


async def test_a_file_that_stays_locked_does_not_hold_up_calls(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_LOCK_S", 1.0)
    async with SimulatedServer() as server:
        await ask_each(tmp_path, server)
        other = sqlite3.connect(tmp_path / "calls.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        async with ExpertClient(cache=CallCache(tmp_path)) as client:
            calls = [await client.call(cached_ask(Endpoint("e", server.url), str(number))) for number in range(15)]
        elapsed = time.monotonic() - began
        other.close()
    assert not any(call.error for call in calls)
    # Fifteen writes that each waited their second would take 15 s.
    assert elapsed < 10


async def test_a_spoilt_entry_is_asked_again_and_mended(tmp_path):
    async with SimulatedServer() as server:
        await ask_each(tmp_path, server)
        with sqlite3.connect(tmp_path / "calls.db") as connection:
            connection.execute("UPDATE replies SET reply = ?", (b'{"text": 4',))
        connection.close()
        ask = cached_ask(Endpoint("e", server.url))
        assert [call.cached for call in await ask_each(tmp_path, server, ask, ask)] == [False, True]


async def test_the_first_reply_that_was_kept_stands(tmp_path):
    ask = cached_ask(Endpoint("e", "u"))
    one, other = CallCache(tmp_path), CallCache(tmp_path)
    key = one.key(ask)
    assert await one.find(key) is None
    assert await other.find(key) is None
    one.store(key, ask, Reply("first", "stop", Usage()))
    await one.close()
    other.store(key, ask, Reply("second", "stop", Usage()))
    found = await other.find(key)
    await other.close()
    assert found is not None
    assert found.text == "first"


async def test_a_closed_cache_finds_and_keeps_nothing(tmp_path):
    closed = CallCache(tmp_path)
    ask = cached_ask(Endpoint("e", "u"))
    await closed.close()
    closed.store(closed.key(ask), ask, Reply("late", "stop", Usage()))
    assert await closed.find(closed.key(ask)) is None


MANY = """
import asyncio, sys
from pathlib import Path
from maestro_eval.models import CallCache, ModelAsk
from maestro_eval.models.openai_codec import Reply
from maestro_eval.records import Endpoint, Message, Sampling, TextPart, Usage

async def main():
    kept = CallCache(Path(sys.argv[1]))
    for number in range(200):
        message = Message("user", (TextPart(f"q{number}"),))
        ask = ModelAsk("expert", "a", "m", Endpoint("e", "u"), (message,), Sampling())
        found = await kept.find(kept.key(ask))
        assert found is None or found.text == f"r{number}", found
        kept.store(kept.key(ask), ask, Reply(f"r{number}", "stop", Usage()))
    await kept.close()

asyncio.run(main())
"""


def test_processes_that_make_fill_and_read_a_cache_at_once_leave_every_reply_once(tmp_path):
    running = [
        subprocess.Popen([sys.executable, "-c", MANY, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=PATIENCE_S)[1] for process in running] == [""] * 4
    assert [process.returncode for process in running] == [0] * 4
    with sqlite3.connect(tmp_path / "calls.db") as connection:
        assert connection.execute("SELECT count(*) FROM replies").fetchone() == (200,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_process_that_is_killed_while_it_writes_leaves_a_good_cache(tmp_path):
    endless = MANY.replace("range(200)", "range(10**9)")
    process = subprocess.Popen([sys.executable, "-c", endless, str(tmp_path)])
    path = tmp_path / "calls.db-wal"
    wait_until(lambda: path.exists() and path.stat().st_size > 400_000)
    process.kill()
    process.wait()
    with sqlite3.connect(tmp_path / "calls.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (kept,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    connection.close()
    assert kept > 10
