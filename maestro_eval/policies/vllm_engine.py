"""A policy whose model runs in this process by vLLM's asynchronous engine: the fast path without a server.

Each worker has one engine. It batches the turns of all rollouts in flight and caches the prefix that a turn shares with
the previous one; images are identified by their SHA-256, so that each is processed once. The model reads the same
prompt as through vLLM's own server.

A request that the engine refuses (a prompt too long, too many images, a pattern it cannot compile) is a
``RolloutFailure`` of the policy, one line. If the engine dies, the policy is ``lost``; the process's owner handles it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maestro_eval.models.server_errors import refusal_kind
from maestro_eval.policies.base import opening, prompt_read, streamed
from maestro_eval.policies.chat import Loaded, Placeholders, chat_of, one_line, open_image, render, too_long
from maestro_eval.policies.spec import Checkpoint, Value
from maestro_eval.records import CallError, Completion, Message, RolloutFailure, Sampling, Usage, UserError

_IMAGES = 16

_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1"}
_CPU_ENVIRONMENT = {
    # In GB. By default vLLM reserves a large part of the machine's memory.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Tracing costs more than it saves for models small enough for a CPU.
    "TORCHDYNAMO_DISABLE": "1",
}
_CPU_SETTINGS: Mapping[str, Value] = {"enforce_eager": True, "max_num_seqs": 8}


class _Engine(Loaded, frozen=True):
    """A running engine."""

    llm: Any
    defaults: dict[str, Any]


class VllmPolicy:
    """One checkpoint in one engine, started by ``open``. ``lost``: the engine died."""

    def __init__(self, checkpoint: Checkpoint, model: str = "", chat_template: str | None = None) -> None:
        self._chat_template = chat_template
        self._checkpoint = checkpoint
        self.model = model or checkpoint.model
        self._engine: _Engine | None = None
        self.lost = False
        self._numbers = itertools.count()

    async def open(self) -> None:
        """Start the engine. UserError for a checkpoint or a setting that it rejects, RolloutFailure otherwise."""
        if self._engine is None:
            self._engine = await _start(self._checkpoint)

    async def close(self) -> None:
        """Stop the engine and its processes."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.llm.shutdown)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        if self._engine is None:
            raise RolloutFailure("policy", "the engine is not running")
        engine = self._engine
        # Rendering and decoding are slow, and the engine runs in this event loop.
        prompt = await asyncio.to_thread(_prompt, engine, messages, self._chat_template)
        request = f"{os.getpid()}-{next(self._numbers)}"
        try:
            output = await _finished(engine.llm.generate(prompt, _parameters(engine, prompt, sampling), request))
        except RolloutFailure:
            raise
        except Exception as error:  # the engine's refusals have no common type; their text is recorded
            self.lost = self.lost or bool(engine.llm.errored)
            reason = one_line(_root(error))
            detail = f"the engine died ({reason})" if self.lost else reason
            kind = None if self.lost else refusal_kind(str(_root(error)))
            fault = None if kind is None else CallError(kind, detail, retriable=False)
            raise RolloutFailure("policy", detail, fault=fault, kind=type(_root(error)).__name__) from error
        return _completion(output, messages)


async def _start(checkpoint: Checkpoint) -> _Engine:
    # These imports take many seconds and must not block the loop; the engine itself must be made in its loop.
    await asyncio.to_thread(_import)
    from transformers import AutoProcessor
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    where = f"--policy vllm:{checkpoint.model}"
    try:
        config = AsyncEngineArgs(**_arguments(checkpoint)).create_engine_config()
        processor = await asyncio.to_thread(
            AutoProcessor.from_pretrained,
            checkpoint.model,
            revision=checkpoint.settings.get("revision"),
            trust_remote_code=False,
        )
    except Exception as error:  # whatever is wrong with a checkpoint, an address or a setting, the user can fix it
        raise UserError(f"{where}: not what vLLM can serve ({one_line(error)})") from error
    try:
        with _interrupts_blocked():
            llm = AsyncLLM.from_vllm_config(config, disable_log_stats=True)
    except Exception as error:  # no memory, no device, a broken machine: another may succeed
        raise RolloutFailure("policy", f"{where}: the engine did not start ({one_line(error)})") from error
    return _Engine(
        llm=llm,
        processor=processor,
        placeholders=Placeholders.of(processor),
        defaults=config.model_config.get_diff_sampling_param(),
        context=config.model_config.max_model_len,
    )


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in processes started within: a terminal sends Ctrl-C to all of a run's processes.

    Otherwise the engine would end at once, and with it the rollouts that the first Ctrl-C lets finish.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _root(error: BaseException) -> BaseException:
    """Return the root cause: the engine wraps it in errors that say only where it occurred."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _import() -> None:
    """Import the engine, after setting defaults of the environment that it reads then; the user's own values stay."""
    import torch

    settings = _ENVIRONMENT if torch.cuda.is_available() else {**_ENVIRONMENT, **_CPU_ENVIRONMENT}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    import transformers  # noqa: F401
    import vllm.v1.engine.async_llm  # noqa: F401


def _arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    from vllm.platforms import current_platform

    settings: dict[str, Any] = {**(_CPU_SETTINGS if current_platform.is_cpu() else {}), **checkpoint.settings}
    images = settings.pop("images", _IMAGES)
    return {
        "model": checkpoint.model,
        "trust_remote_code": False,
        "limit_mm_per_prompt": {"image": images, "video": 0},
        "disable_log_stats": True,
        "enable_log_requests": False,
        **settings,
    }


def _prompt(engine: _Engine, messages: Sequence[Message], template: str | None) -> dict[str, Any]:
    chat = chat_of(opening(messages), engine.placeholders, as_text=not hasattr(engine.processor, "image_processor"))
    # The template has already written the special tokens at the beginning.
    rendered = render(chat, engine.processor, template)
    tokens = [*engine.tokenizer.encode(rendered, add_special_tokens=False), *streamed(messages)]
    prompt: dict[str, Any] = {"prompt_token_ids": tokens}
    if chat.images:
        prompt["multi_modal_data"] = {"image": [open_image(image) for image in chat.images]}
        prompt["multi_modal_uuids"] = {"image": [image.ref.sha256 for image in chat.images]}
    return prompt


def _parameters(engine: _Engine, prompt: Mapping[str, Any], sampling: Sampling) -> Any:
    """Return our sampling as vLLM's; None is the checkpoint's own default, as in vLLM's server."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    length = len(prompt["prompt_token_ids"])
    if length >= engine.context:
        raise too_long(length, engine.context)
    names = ("temperature", "top_p", "max_tokens", "top_k", "repetition_penalty")
    given = {name: getattr(sampling, name) for name in names}
    settings = {**engine.defaults, **{name: value for name, value in given.items() if value is not None}}
    # The images' tokens are not counted yet; the engine ends a turn at the end of the context anyway.
    settings["max_tokens"] = min(settings.get("max_tokens") or engine.context, engine.context - length)
    return SamplingParams(
        **settings,
        seed=sampling.seed,
        stop=list(sampling.stop),
        structured_outputs=None if sampling.regex is None else StructuredOutputsParams(regex=sampling.regex),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


async def _finished(outputs: Any) -> Any:
    """Return the finished output; cancelling a rollout cancels its request."""
    last = None
    async with contextlib.aclosing(outputs):
        async for output in outputs:
            last = output
    return last


def _completion(output: Any, messages: Sequence[Message]) -> Completion:
    if output is None:
        raise RolloutFailure("policy", "the engine gave no output")
    (said,) = output.outputs
    if said.finish_reason not in ("stop", "length"):
        raise RolloutFailure("policy", f"the engine broke the turn off ({said.finish_reason})")
    read = output.prompt_token_ids or ()
    return Completion(
        said.text,
        said.finish_reason,
        Usage(len(read), len(said.token_ids)),
        tokens=tuple(said.token_ids),
        prompt=prompt_read(read, messages),
    )
