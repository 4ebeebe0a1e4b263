"""Generates dialogues to learn: a mini benchmark's question, the call of the right expert, a reply, its answer.

Questions and pictures are the mini benchmarks' own, of seeds from 1000 on; the replies are generated. A reply has only
the form of an expert's (a sentence or two, then a last line ``Answer: X``, or no such line from one that has no
answer), and X is anything, so that the policy can only learn to copy it. Everything is worded as in the harness,
by its own functions.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from maestro_eval.embedded.mini import MINI_TASKS, make_mini
from maestro_eval.records import Image
from maestro_eval.tasks import open_task, select_tasks
from maestro_eval.text import neutralise

FIRST_SEED = 1000
"""Mini benchmarks of smaller seeds are for evaluation."""

SYMBOLS = ("{", "}", "(", ")", ",", ".", ":", "-", "/", "$", "%", "=", "°", "π", "√")
_REFUSAL = "I cannot tell"
_EXCHANGES = 6


class Route(Struct, frozen=True):
    """The expert and skill for a kind of question, and the words of the call."""

    expert: str
    skill: str
    about: str
    request: str

    @property
    def call(self) -> str:
        """The turn that calls the expert."""
        return f"{self.thought}{self.search}"

    @property
    def thought(self) -> str:
        return f"<think> This is about {self.about}. </think>\n"

    @property
    def search(self) -> str:
        return f"<search> {self.expert}@@{self.skill}: {self.request} </search>"


ROUTES: Mapping[str, Route] = {
    "maestro_mini_chartqa": Route("chart-reader", "Chart_Problem_Solver", "a chart", "read the chart"),
    "maestro_mini_geometry3k": Route("geometer", "Geometric_Problem_Solver", "geometry", "solve the figure"),
    "maestro_mini_tallyqa": Route("object-counter", "Counting_Problem_Solver", "counting", "count the shapes"),
    "maestro_mini_vstar": Route("object-counter", "Perception_Problem_Solver", "one object", "find the object"),
    "maestro_mini_ocrbench": Route("ocr-reader", "OCR_Problem_Solver", "text", "read the text"),
    "maestro_mini_vlmsareblind": Route(
        "diagram-inspector", "Diagram_Reasoning_Skill", "a drawing", "inspect the drawing"
    ),
}


class Question(Struct, frozen=True):
    """A question of a mini benchmark, its pictures, and its route."""

    text: str
    images: tuple[Image, ...]
    route: Route


class Said(Struct, frozen=True):
    """A message after the first two. ``learn`` is True if the policy is to learn to write it."""

    role: str
    text: str
    learn: bool = False


class Lesson(Struct, frozen=True):
    """A question and the messages that follow it. A drill has no question (and no prompt)."""

    question: Question | None
    said: tuple[Said, ...]

    def length(self) -> int:
        """Return the approximate number of words."""
        asked = len(self.question.text.split()) if self.question else 0
        return asked + sum(len(said.text.split()) for said in self.said)


def draw_questions(folder: Path, seed: int, per_task: int) -> list[Question]:
    """Return the questions of the mini benchmarks of one seed, ``per_task`` of each."""
    if seed < FIRST_SEED:
        raise ValueError(f"seed {seed}: those under {FIRST_SEED} are for measuring")
    # One sample of VLMsAreBlind is seven rows.
    counts = {task: -(-per_task // 7) if task.endswith("vlmsareblind") else per_task for task in MINI_TASKS}
    data = {task: str(path) for task, path in make_mini(folder, seed=seed, per_task=counts).items()}
    questions = []
    for spec in select_tasks(list(data), data=data):
        task = open_task(spec)
        for sample_id in task.ids():
            loaded = task.load(sample_id)
            questions.append(Question(loaded.sample.question, loaded.images, ROUTES[spec.name]))
    return questions


def vocabulary_texts(questions: Sequence[Question], rng: random.Random) -> list[str]:
    """Return texts whose words deserve tokens of their own: questions, turns, and some of the copied values."""
    texts = [question.text for question in questions]
    for route in ROUTES.values():
        names = f" {route.expert} {route.skill}{_observed('Answer: B').text}This is option B,"
        texts += [route.call + names, _answer("B"), _answer(None)] * 100
    return texts + [make_value(rng) for _value in range(300)]


class Lessons:
    """An endless supply of lessons about some questions."""

    def __init__(self, questions: Sequence[Question], rng: random.Random) -> None:
        self._rng = rng
        self._by_route: dict[Route, list[Question]] = {}
        for question in questions:
            self._by_route.setdefault(question.route, []).append(question)
        self._words = sorted({word for question in questions for word in question.text.split() if word.isascii()})

    def draw(self) -> Lesson:
        """Return a lesson; all kinds of question are equally frequent. Some begin with a wrong call that is refused."""
        rng = self._rng
        question = rng.choice(self._by_route[rng.choice(list(self._by_route))])
        question = Question(_reworded(question.text, rng), question.images, question.route)
        said = []
        if rng.random() < 0.2:
            other = rng.choice([route for route in ROUTES.values() if route is not question.route])
            said += [Said("assistant", other.call), self._refusal()]
        said.append(Said("assistant", question.route.call, learn=True))
        if rng.random() < 0.1:
            said += [self._refusal(), Said("assistant", _answer(None), learn=True)]
        else:
            value = make_value(rng)
            said += [self._reply(value), Said("assistant", _answer(value), learn=True)]
        if rng.random() < 0.25:
            said = _without_thoughts(said)
        return Lesson(question, tuple(said))

    def drill(self) -> Lesson:
        """Return replies and answers alone: copying is the hard part, and only a few tokens of a whole lesson."""
        said: list[Said] = []
        for _exchange in range(_EXCHANGES):
            value = make_value(self._rng)
            reply = self._reply(value) if self._rng.random() < 0.3 else _observed(f"Answer: {value}")
            said += [reply, Said("assistant", _answer(value), learn=True)]
        return Lesson(None, tuple(said))

    def _reply(self, value: str) -> Said:
        because = self._sentence()
        if self._rng.random() < 0.3:
            because += f" This is option {value}, {self._sentence(4)}"
        return _observed(f"{because}\nAnswer: {value}")

    def _refusal(self) -> Said:
        return _observed(self._rng.choice((f"{_REFUSAL}: {self._sentence()}", f"Not called: {self._sentence()}")))

    def _sentence(self, longest: int = 7) -> str:
        rng = self._rng
        words = [rng.choice(self._words) for _word in range(rng.randint(2, longest))]
        if rng.random() < 0.6:
            words.insert(rng.randint(1, len(words)), make_value(rng))
        return " ".join(words).rstrip(".?!,") + "."


def make_value(rng: random.Random) -> str:
    """Return anything that an expert might answer."""
    forms: Sequence[Callable[[random.Random], str]] = (
        lambda rng: rng.choice("ABCD"),
        lambda rng: rng.choice(("Yes", "No")),
        lambda rng: str(rng.randint(0, 9)),
        _number,
        _number,
        lambda rng: "{" + str(rng.randint(0, 30)) + "}",
        lambda rng: f"rows={{{rng.randint(1, 12)}}} columns={{{rng.randint(1, 12)}}}",
        lambda rng: f"({rng.randint(1, 12)},{rng.randint(1, 12)})",
        _word,
        _word,
        lambda rng: f"{_word(rng)} {_word(rng)}",
        lambda rng: f"{_word(rng)} {_number(rng)}",
        lambda rng: f"{_number(rng)} {rng.choice(('km', 'cm', '%', 'kg', 'EUR'))}",
        lambda rng: rng.choice(string.ascii_letters),
        lambda rng: f"{_digits(rng, 2)}:{_digits(rng, 2)}",
        lambda rng: "-".join(_digits(rng, rng.randint(2, 4)) for _part in range(rng.randint(2, 3))),
        _mixed,
    )
    return rng.choice(forms)(rng)


def _number(rng: random.Random) -> str:
    whole = str(rng.randint(1, 10 ** rng.randint(1, 5)))
    return whole if rng.random() < 0.6 else f"{whole}.{_digits(rng, rng.randint(1, 2))}"


def _digits(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(string.digits) for _digit in range(length))


def _word(rng: random.Random) -> str:
    """Return a pronounceable text, which is mostly no word."""
    letters = [rng.choice("aeiou" if place % 2 else "bcdfghjklmnprstvwyz") for place in range(rng.randint(3, 8))]
    return rng.choice((str.lower, str.upper, str.capitalize))("".join(letters))


def _mixed(rng: random.Random) -> str:
    alphabet = [*string.ascii_letters, *string.digits, *SYMBOLS]
    return "".join(rng.choice(alphabet) for _sign in range(rng.randint(2, 8)))


def _reworded(text: str, rng: random.Random) -> str:
    """Return the same question, in slightly other words more often than not."""
    if rng.random() < 0.3:
        text = rng.choice(("Please help. ", "Look at the picture. ", "Look at the image: ", "Question: ")) + text
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.3:
        words = text.split(" ")
        # Without one word of many, the question keeps its subject.
        if len(words) > 8:
            words.pop(rng.randrange(len(words)))
        text = " ".join(words)
    return text


def _answer(value: str | None) -> str:
    if value is None:
        return f"<think> The expert cannot tell. </think>\n<answer> {_REFUSAL} </answer>"
    return f"<think> The expert answered. </think>\n<answer> {value} </answer>"


def _observed(reply: str) -> Said:
    return Said("user", f"<information>\n{neutralise(reply)}\n</information>")


def _without_thoughts(said: Sequence[Said]) -> list[Said]:
    """Drop the thoughts of earlier turns, as some regimes do; these turns are only read, not learnt."""
    *earlier, last = said
    return [
        Said(one.role, one.text.partition("</think>\n")[2]) if one.role == "assistant" else one for one in earlier
    ] + [last]
