"""Train the tiny policy: python -m scripts.tiny_policy.train --out DIR [--steps N] [--seed N] [--threads N]

Every random choice is seeded. The printed measurements are made on mini benchmarks of another seed than those of the
training; `scripts/train-tiny-policy` then measures the checkpoint in real rollouts.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from maestro_eval.records import Regime
from maestro_eval.registry import load_registry, render_system
from scripts.tiny_policy.batches import Encoder, loss_of
from scripts.tiny_policy.checkpoint import make_model, make_processor
from scripts.tiny_policy.lessons import FIRST_SEED, Lesson, Lessons, draw_questions, vocabulary_texts

REGISTRY = "embedded_short"
_BATCH = 16
_POOL = 8
_PEAK = 2e-3
_WARM_UP = 50
_REPORT_EVERY = 50
_HELD_OUT = 96


def train(out: Path, *, steps: int, seed: int, per_task: int) -> None:
    """Write a trained checkpoint to ``out``, with its measurements in ``training.json`` beside it."""
    started = time.monotonic()
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        questions = draw_questions(Path(folder) / "train", FIRST_SEED + 2 * seed, per_task)
        others = draw_questions(Path(folder) / "held-out", FIRST_SEED + 2 * seed + 1, 14)
    registry = load_registry(REGISTRY)
    prompt = [render_system(registry, Regime()), "system\n", "user\n", "assistant\n"]
    processor = make_processor([*prompt * 100, *vocabulary_texts(questions, rng)])
    processor.save_pretrained(out)
    model = make_model(processor, seed)
    encoder = Encoder(processor, registry)
    encoder.check(questions[0])
    held_out = Lessons(others, random.Random("held out"))
    tests = [held_out.draw() for _lesson in range(_HELD_OUT)]
    lessons = Lessons(questions, rng)
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(questions)} questions, {steps} steps, "
        f"{torch.get_num_threads()} threads; prepared in {time.monotonic() - started:.0f} s",
        flush=True,
    )

    # Vision is not learnt: the vision tower stays random and constant.
    model.model.visual.requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=_PEAK, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    begun, begun_cpu = time.monotonic(), time.process_time()
    history = []
    ready: list[list[Lesson]] = []
    total = 0.0
    for step in range(1, steps + 1):
        model.train()
        if not ready:
            # Lessons of similar length are batched; otherwise padding would be a quarter of the work.
            drawn = sorted((lessons.draw() for _lesson in range(_POOL * _BATCH)), key=Lesson.length)
            ready = [drawn[start : start + _BATCH] for start in range(0, len(drawn), _BATCH)]
            rng.shuffle(ready)
        lesson_or_drill = ready.pop() if step % 2 else [lessons.drill() for _drill in range(_BATCH)]
        loss, _turns = loss_of(model, encoder.batch(lesson_or_drill))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % _REPORT_EVERY == 0 or step == steps:
            count = (step - 1) % _REPORT_EVERY + 1
            report = {
                "step": step,
                "loss": round(total / count, 4),
                **measure(model, encoder, tests),
                "seconds": round(time.monotonic() - begun),
                "cpu_seconds": round(time.process_time() - begun_cpu),
            }
            history.append(report)
            total = 0.0
            print("  ".join(f"{name} {value}" for name, value in report.items()), flush=True)
            model.eval().save_pretrained(out)

    about = {"seed": seed, "steps": steps, "threads": torch.get_num_threads(), "history": history}
    (out / "training.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def measure(model: Any, encoder: Encoder, tests: list[Any]) -> dict[str, float]:
    """Return the share of held-out calls, and of answers, that greedy decoding writes exactly."""
    model.eval()
    calls: list[bool] = []
    answers: list[bool] = []
    remaining = iter(tests)
    with torch.inference_mode():
        while lessons := list(islice(remaining, _BATCH)):
            _loss, turns = loss_of(model, encoder.batch(lessons))
            for *asked, answered in turns:
                calls += asked
                answers.append(answered)
    return {"calls": round(sum(calls) / len(calls), 3), "answers": round(sum(answers) / len(answers), 3)}


def _rate(step: int, steps: int) -> float:
    if step < _WARM_UP:
        return (step + 1) / _WARM_UP
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - _WARM_UP) / max(1, steps - _WARM_UP)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the new folder")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--questions", type=int, default=28, help="questions of each mini benchmark")
    # On shared cores, threads that wait for each other use seven times the CPU of one.
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1; 0: all cores)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train(arguments.out, steps=arguments.steps, seed=arguments.seed, per_task=arguments.questions)


if __name__ == "__main__":
    main()
