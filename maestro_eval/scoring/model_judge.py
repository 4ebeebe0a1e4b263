"""Record how a model reads a reply, for the benchmarks whose authors let a model read it.

HR-Bench's authors (and lmms-eval for V*) ask a model which option a reply chooses; MathVista's ask one to extract the
answer. ``maestro-eval judge`` asks with our own prompts and records the replies in the run folder. Scoring reads the
records, calls no model, and shows the model's verdict beside the rule's. A record is the verdict of one model with one
prompt on one answer: another model or prompt is asked anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.records import RolloutKey, Sample, Score, TaskRecord, UserError
from maestro_eval.scoring.extract import spoken
from maestro_eval.scoring.metric import metric_of
from maestro_eval.scoring.options import LETTERS, lone_letter

NAME = "judgements.jsonl"

_NONE = "none"
_CHOICE = """Below are a multiple-choice question and somebody's reply to it. Which option does the reply choose?
Do not answer the question yourself. Write the letter of the option and nothing else. Write none if the reply chooses \
no option, or more than one.

Question: {question}
Options:
{options}

Reply: {reply}

Letter:"""
_EXTRACTION = """Below are a question and somebody's reply to it. What is the final answer of the reply?
Do not answer the question yourself. Write the answer and nothing else: a number without its unit, an option as it is \
listed, a list in square brackets, or a word. Write none if the reply gives no answer, or more than one.

Question: {question}
{options}
Reply: {reply}

Answer:"""


class Judgement(Struct, frozen=True):
    """A model's verdict. ``prompt`` is the hash of its prompt; ``value`` is ``None`` if its reply is unusable."""

    task: str
    sample_id: str
    repeat: int
    model: str
    prompt: str
    reply: str
    extracted: str
    value: float | None

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.task, self.sample_id, self.repeat)


class Agreement(Struct, frozen=True):
    """The agreement of a rule and a model over the rollouts of a task that both have judged."""

    task: str
    model: str
    judged: int
    rule: float
    by_model: float
    same: int


def prompt_for(sample: Sample, answer: str, task: TaskRecord) -> str:
    """Return the prompt that asks a model about an answer."""
    template = _CHOICE if task.model_judge == "choice" else _EXTRACTION
    lettered = "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, sample.choices, strict=False))
    return template.format(question=sample.question, options=lettered, reply=answer)


def judgement_of(sample: Sample, key: RolloutKey, model: str, prompt: str, reply: str, task: TaskRecord) -> Judgement:
    """Return the verdict in a model's reply; its value is None if the reply does not have the requested form."""
    said = spoken(reply).strip().strip("*`\"'. ")
    extracted, value = said, None
    if said.lower() == _NONE:
        extracted, value = "", 0.0
    elif task.model_judge == "extraction":
        value = metric_of(task).judge(sample, said, "official").value
    elif letter := lone_letter(said):
        extracted, value = letter.upper(), metric_of(task).judge(sample, letter, "strict").value
    return Judgement(key.task, key.sample_id, key.repeat, model, prompt_hash(prompt), reply, extracted, value)


def prompt_hash(prompt: str) -> str:
    return fingerprint(prompt)[:16]


def read_judgements(folder: Path) -> Iterator[Judgement]:
    """Yield the verdicts in a run folder; none if no model was asked. Raise UserError for an invalid line.

    A last line without a line break is skipped: the run of ``judge`` that wrote it was killed.
    """
    path = folder / NAME
    if not path.is_file():
        return
    decoder = msgspec.json.Decoder(Judgement)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise UserError(f"{path}: line {number}: {error}; remove the line, and run judge again") from None


def agreements(scores: Iterable[Score], judgements: Iterable[Judgement]) -> tuple[Agreement, ...]:
    """Return, per task and model, how the model's and the rule's verdicts agree where both exist."""
    latest = {(each.task, each.model, each.sample_id, each.repeat): each for each in judgements}
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    models = sorted({model for _, model, *_ in latest})
    for score in scores if models else ():
        for model in models:
            found = latest.get((score.task, model, score.sample_id, score.repeat))
            if found is not None and found.value is not None and score.value is not None:
                pairs.setdefault((score.task, model), []).append((score.value, found.value))
    return tuple(
        Agreement(
            task,
            model,
            len(each),
            sum(rule for rule, _ in each) / len(each),
            sum(by_model for _, by_model in each) / len(each),
            sum(rule == by_model for rule, by_model in each),
        )
        for (task, model), each in sorted(pairs.items())
    )
