"""Have a model judge a run's answers, several at once, and record each verdict as it arrives.

A recorded verdict is not requested again, so an interrupted pass continues where it stopped. A call that fails records
nothing, and the next pass repeats it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.models import ExpertClient, ModelAsk
from maestro_eval.records import (
    Endpoint,
    Message,
    RolloutKey,
    Sample,
    Sampling,
    TextPart,
    UserError,
)
from maestro_eval.scoring.model_judge import NAME, judgement_of, prompt_for, prompt_hash, read_judgements

_SAMPLING = Sampling(temperature=0.0, max_tokens=1024)
_KIND = "openai:"


class JudgePass(Struct, frozen=True):
    """The result of a pass, by task: answers, those judged (by now, and before it); and the errors of failed calls."""

    model: str
    answers: dict[str, int]
    judged: dict[str, int]
    known: dict[str, int]
    failures: dict[str, int]


async def judge_answers(
    folder: Path,
    spec: str,
    *,
    key_env: str = "",
    concurrency: int = 16,
    environ: Mapping[str, str] = os.environ,
) -> JudgePass:
    """Ask the model ``openai:URL#MODEL`` about each answer of ``folder`` that it has not judged yet.

    UserError for another kind of model, a run without a task that a model may judge, and a folder that cannot be
    written; RolloutFailure if the endpoint does not say which model it serves.
    """
    address, model = _address(spec)
    endpoint = Endpoint(name="judge", url=address, api_key_env=key_env, concurrency=concurrency)
    with Journal.open(folder, read_only=True) as journal:
        tasks = {task.name: task for task in journal.manifest.tasks if task.model_judge is not None}
        if not tasks:
            raise UserError(
                f"{folder}: has no task whose authors use a judge; a task file says so by model_judge: choice or "
                "extraction under metadata.maestro"
            )
        async with ExpertClient(environ=environ) as client:
            model = model or await client.only_model(endpoint, "--model", spec)
            known = {(each.key, each.model, each.prompt) for each in read_judgements(folder)}
            answers, judged, before, failures = (Counter[str]() for _ in range(4))

            def open_questions() -> Iterator[tuple[RolloutKey, Sample, str]]:
                for rollout, sample in journal.rollouts():
                    task = tasks.get(rollout.key.task)
                    if task is None or rollout.answer is None:
                        continue
                    answers[task.name] += 1
                    prompt = prompt_for(sample, rollout.answer, task)
                    if (rollout.key, model, prompt_hash(prompt)) in known:
                        before[task.name] += 1
                    else:
                        yield rollout.key, sample, prompt

            with _opened(folder / NAME) as file:
                pending = open_questions()

                async def work() -> None:
                    for key, sample, prompt in pending:
                        messages = (Message("user", (TextPart(prompt),)),)
                        call = await client.call(ModelAsk("service", "judge", model, endpoint, messages, _SAMPLING))
                        if call.error:
                            failures[call.error] += 1
                            continue
                        found = judgement_of(sample, key, model, prompt, call.reply, tasks[key.task])
                        judged[key.task] += 1
                        file.write(msgspec.json.encode(found) + b"\n")
                        file.flush()

                await asyncio.gather(*(work() for _ in range(concurrency)))
                os.fsync(file.fileno())
                if not file.tell():
                    (folder / NAME).unlink()
    return JudgePass(model, dict(answers), dict(judged + before), dict(before), dict(failures))


def _address(spec: str) -> tuple[str, str]:
    address, _, model = spec.removeprefix(_KIND).partition("#")
    if not spec.startswith(_KIND) or not address.startswith(("http://", "https://")):
        raise UserError(f"--model {spec}: expected openai:URL#MODEL, say openai:http://127.0.0.1:8000/v1#judge")
    if set(address) & set("@?"):
        raise UserError(
            "--model openai:…: an address without user, password or query; name the key's variable with --key-env"
        )
    return address.rstrip("/"), model


def _opened(path: Path) -> IO[bytes]:
    """Open the file for appending, without the partial line that a killed pass may have left at its end."""
    try:
        file = path.open("r+b" if path.exists() else "w+b")
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    return file
