"""Encodes lessons as tensors: the very tokens that the harness would send, and which of them are to be learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from msgspec import Struct

from maestro_eval.policies.chat import Placeholders, chat_of, open_image, render
from maestro_eval.records import Image, Message, Regime, TextPart
from maestro_eval.registry import Registry, render_system, user_message
from scripts.tiny_policy.lessons import Lesson, Question

_NOT_LEARNT = -100
_TURN = "<|im_start|>assistant\n"


class _Pixels(Struct, frozen=True):
    """An image as the model reads it; ``tokens`` is its number of tokens."""

    values: torch.Tensor
    grid: torch.Tensor
    tokens: int


class _Encoded(Struct, frozen=True):
    tokens: list[int]
    labels: list[int]
    pixels: tuple[_Pixels, ...]


class Encoder:
    """Encodes lessons under one registry's prompt. Each image is processed once."""

    def __init__(self, processor: Any, registry: Registry) -> None:
        self._processor = processor
        self._registry = registry
        self._system = Message("system", (TextPart(render_system(registry, Regime())),))
        self._placeholders = Placeholders.of(processor)
        self._pixels: dict[str, _Pixels] = {}
        self._image = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        self._end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self._turn = processor.tokenizer.encode(_TURN, add_special_tokens=False)

    def batch(self, lessons: Iterable[Lesson]) -> dict[str, torch.Tensor]:
        """Return the inputs of the model's ``forward``, and ``labels``, padded on the right, which no token sees."""
        encoded = [self._encode(lesson) for lesson in lessons]
        length = max(len(one.tokens) for one in encoded)
        pad = self._processor.tokenizer.pad_token_id
        tokens = torch.tensor([one.tokens + [pad] * (length - len(one.tokens)) for one in encoded])
        labels = torch.tensor([one.labels + [_NOT_LEARNT] * (length - len(one.labels)) for one in encoded])
        pixels = [found for one in encoded for found in one.pixels]
        batch = {"input_ids": tokens, "labels": labels}
        if pixels:
            batch["mm_token_type_ids"] = (tokens == self._image).int()
            batch["pixel_values"] = torch.cat([found.values for found in pixels])
            batch["image_grid_thw"] = torch.cat([found.grid for found in pixels])
        return batch

    def check(self, question: Question) -> None:
        """Raise AssertionError unless a prompt's tokens are those that the processor makes from it."""
        images = [open_image(image) for image in question.images]
        (expected,) = self._processor(text=[self._prompt(question)], images=images, add_special_tokens=False)[
            "input_ids"
        ]
        encoded = self._encode(Lesson(question, ()))
        assert encoded.tokens == list(expected), "a lesson's tokens are not those of its prompt"

    def _encode(self, lesson: Lesson) -> _Encoded:
        pixels = tuple(self._of(image) for image in lesson.question.images) if lesson.question else ()
        before, *between = self._prompt(lesson.question).split("<|image_pad|>") if lesson.question else ("",)
        text = before
        for found, after in zip(pixels, between, strict=True):
            text += "<|image_pad|>" * found.tokens + after
        if lesson.said:
            text = text.removesuffix(_TURN) + "".join(
                f"<|im_start|>{said.role}\n{said.text}<|im_end|>\n" for said in lesson.said
            )
        tokens: list[int] = self._processor.tokenizer.encode(text, add_special_tokens=False)
        learnt = [said.learn for said in lesson.said if said.role == "assistant"]
        return _Encoded(tokens, self._labels(tokens, learnt), pixels)

    def _labels(self, tokens: Sequence[int], learnt: Sequence[bool]) -> list[int]:
        """Return the tokens of the assistant's turns that are to be learnt, with each turn's end."""
        labels = [_NOT_LEARNT] * len(tokens)
        turns = iter(learnt)
        width = len(self._turn)
        for start in range(len(tokens) - width):
            if list(tokens[start : start + width]) == self._turn and next(turns):
                end = tokens.index(self._end, start + width) + 1
                labels[start + width : end] = tokens[start + width : end]
        return labels

    def _prompt(self, question: Question) -> str:
        first = user_message(self._registry, question.text, question.images)
        return render(chat_of([self._system, first], self._placeholders), self._processor)

    def _of(self, image: Image) -> _Pixels:
        key = image.ref.sha256
        if key not in self._pixels:
            found = self._processor.image_processor(images=[open_image(image)], return_tensors="pt")
            grid = found["image_grid_thw"]
            merged = self._processor.image_processor.merge_size**2
            self._pixels[key] = _Pixels(found["pixel_values"], grid, int(grid.prod()) // merged)
        return self._pixels[key]


def loss_of(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, list[list[bool]]]:
    """Return the mean loss over the learnt tokens; and by lesson, for each of its learnt turns, whether greedy
    decoding would write it exactly."""
    given = {name: tensor for name, tensor in batch.items() if name != "labels"}
    hidden = model.model(**given).last_hidden_state[:, :-1]
    labels = batch["labels"][:, 1:]
    learnt = labels != _NOT_LEARNT
    # Most tokens have no label, and the vocabulary is a large part of so small a model.
    logits = model.lm_head(hidden[learnt])
    right = torch.zeros_like(learnt)
    right[learnt] = logits.argmax(-1) == labels[learnt]
    turns = [_runs(*lesson) for lesson in zip(right.tolist(), learnt.tolist(), strict=True)]
    return torch.nn.functional.cross_entropy(logits, labels[learnt]), turns


def _runs(right: Sequence[bool], learnt: Sequence[bool]) -> list[bool]:
    turns: list[bool] = []
    inside = False
    for is_right, is_learnt in zip(right, learnt, strict=True):
        if is_learnt:
            turns = [*turns[:-1], turns[-1] and is_right] if inside else [*turns, is_right]
        inside = is_learnt
    return turns
