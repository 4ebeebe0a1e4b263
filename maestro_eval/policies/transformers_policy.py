"""A policy whose model runs in this process by transformers: the reference, not the fast path.

It generates one turn at a time, without batching, by the code of the checkpoint's authors, so that an engine can be
compared with it. For every other purpose use ``vllm:`` or an endpoint.

A turn that cannot be generated (a prompt too long, no memory, an image that the processor refuses) is a
``RolloutFailure`` of the policy, one line; the next turn is unaffected. Code in a checkpoint is never run.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec.structs import replace

from maestro_eval.policies.base import opening, prompt_read, streamed
from maestro_eval.policies.chat import Chat, Loaded, Placeholders, chat_of, one_line, open_image, render, too_long
from maestro_eval.policies.spec import Checkpoint
from maestro_eval.records import Completion, Message, RolloutFailure, Sampling, Usage, UserError


class _Loaded(Loaded, frozen=True):
    """A checkpoint in memory."""

    model: Any


class TransformersPolicy:
    """One checkpoint, loaded by ``open``, that generates one turn at a time."""

    # No engine could die apart from this process.
    lost = False

    def __init__(self, checkpoint: Checkpoint, model: str = "", chat_template: str | None = None) -> None:
        self._chat_template = chat_template
        self._checkpoint = checkpoint
        self.model = model or checkpoint.model
        # One thread: torch's random state belongs to the process, and a turn's seed must last until its end.
        self._thread = ThreadPoolExecutor(1, "transformers-policy")
        self._loaded: _Loaded | None = None

    async def open(self) -> None:
        """Load the checkpoint; UserError if that fails."""
        if self._loaded is None:
            self._loaded = await self._in_thread(_load, self._checkpoint)

    async def close(self) -> None:
        """Release the model."""
        self._loaded = None
        await asyncio.to_thread(self._thread.shutdown)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        await self.open()
        assert self._loaded is not None
        completion: Completion = await self._in_thread(_generate, self._loaded, messages, sampling, self._chat_template)
        return completion

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _load(checkpoint: Checkpoint) -> _Loaded:
    import torch
    import transformers

    settings = dict(checkpoint.settings)
    limit = settings.pop("max_model_len", None)
    revision = settings.get("revision")
    on_gpu = torch.cuda.is_available()
    # bfloat16 is slow on most CPUs, and too inexact for a reference.
    settings.setdefault("dtype", "bfloat16" if on_gpu else "float32")
    # device_map needs accelerate; a single device does not.
    if on_gpu and importlib.util.find_spec("accelerate"):
        settings.setdefault("device_map", "auto")
    try:
        processor = transformers.AutoProcessor.from_pretrained(
            checkpoint.model, revision=revision, trust_remote_code=False
        )
        model = transformers.AutoModelForImageTextToText.from_pretrained(
            checkpoint.model, trust_remote_code=False, **settings
        )
        if "device_map" not in settings:
            model = model.to("cuda" if on_gpu else "cpu")
    except Exception as error:  # whatever is wrong with a checkpoint, an address or a setting, the user can fix it
        raise UserError(f"--policy transformers:{checkpoint.model}: cannot be loaded ({one_line(error)})") from error
    text = model.config.get_text_config()
    context = min(int(limit or text.max_position_embeddings), int(text.max_position_embeddings))
    return _Loaded(processor, Placeholders.of(processor), context, model.eval())


def _generate(loaded: _Loaded, messages: Sequence[Message], sampling: Sampling, template: str | None) -> Completion:
    """Generate one turn; runs in the policy's own thread."""
    import torch

    if sampling.regex is not None:
        raise RolloutFailure("policy", "transformers cannot constrain a turn to a pattern")
    as_text = not hasattr(loaded.processor, "image_processor")
    chat = chat_of(opening(messages), loaded.placeholders, as_text=as_text)
    try:
        inputs = _inputs(loaded, chat, template, streamed(messages))
        length = int(inputs["input_ids"].shape[1])
        room = loaded.context - length
        if room < 1:
            raise too_long(length, loaded.context)
        limit = min(room, sampling.max_tokens or room)
        torch.manual_seed(sampling.seed or 0)
        with torch.inference_mode():
            tokens = loaded.model.generate(
                **inputs.to(loaded.model.device, loaded.model.dtype),
                **_settings(loaded.model.generation_config, sampling),
                max_new_tokens=limit,
                tokenizer=loaded.tokenizer,
            )[0, length:].tolist()
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise RolloutFailure("policy", f"out of memory: {one_line(error)}", kind="out of memory") from error
    except RolloutFailure:
        raise
    except Exception as error:  # a prompt that a processor or a model cannot process fails its rollout, not the run
        raise RolloutFailure("policy", one_line(error), kind=type(error).__name__) from error
    completion = _completion(loaded, tokens, limit, sampling, Usage(length, len(tokens)))
    return replace(completion, tokens=tuple(tokens), prompt=prompt_read(inputs["input_ids"][0].tolist(), messages))


def _inputs(loaded: _Loaded, chat: Chat, template: str | None, stream: list[int]) -> Any:
    """Return the prompt: the rendered chat, then the ids of ``stream``."""
    import torch

    prompt = render(chat, loaded.processor, template)
    images = {"images": [open_image(image) for image in chat.images]} if chat.images else {}
    # The template has already written the special tokens at the beginning.
    inputs = loaded.processor(text=[prompt], add_special_tokens=False, return_tensors="pt", **images)
    length = inputs["input_ids"].shape[1]
    # The stream has no image, so its other per-token tensors are zeros, as for text.
    behind = {"input_ids": torch.tensor([stream]), "attention_mask": torch.ones(1, len(stream))}
    for name, value in list(inputs.items()) if stream else ():
        if torch.is_tensor(value) and value.shape == (1, length):
            more = behind.get(name, torch.zeros(1, len(stream)))
            inputs[name] = torch.cat([value, more.to(value.dtype)], dim=1)
    return inputs


def _settings(defaults: Any, sampling: Sampling) -> dict[str, Any]:
    """Return our sampling as the arguments of ``generate``; None leaves the checkpoint's own default."""
    given = defaults.to_diff_dict()
    settings: dict[str, Any] = {"stop_strings": list(sampling.stop)} if sampling.stop else {}
    if sampling.repetition_penalty is not None:
        settings["repetition_penalty"] = sampling.repetition_penalty
    if sampling.temperature == 0 or (sampling.temperature is None and not given.get("do_sample")):
        return {**settings, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    settings["do_sample"] = True
    # By default transformers limits sampling to 50 candidates; endpoints do not.
    settings["top_k"] = given.get("top_k", 0)
    if sampling.temperature is not None:
        settings["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        settings["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        # "All" is -1 in vLLM and 0 in this library.
        settings["top_k"] = max(0, sampling.top_k)
    return settings


def _completion(loaded: _Loaded, tokens: list[int], limit: int, sampling: Sampling, usage: Usage) -> Completion:
    # The bytes of a character that the limit cut are no text; a server omits them too.
    text: str = loaded.tokenizer.decode(tokens, skip_special_tokens=True).rstrip("\ufffd")
    # The tokens include the stop string, and perhaps the rest of its last token; a server omits it.
    cuts = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
    if cuts:
        return Completion(text[: min(cuts)], "stop", usage)
    # One token or a list of them.
    eos = loaded.model.generation_config.eos_token_id
    ended = bool(tokens) and tokens[-1] in (eos if isinstance(eos, list) else [eos])
    return Completion(text, "stop" if ended or len(tokens) < limit else "length", usage)
