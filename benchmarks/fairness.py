"""Measures whether reading replies is fair to every style of answer: right and wrong answers, each in forty phrasings.

For each benchmark but HumanEval-V, ``--answers`` right answers and as many wrong ones are generated in the kinds of
its questions (a third of the options with their text, counts with their noun, values with a unit) and written in
forty phrasings, from the bare word to a page with tags, as models of several families write. If a phrasing mentions
another answer on the way, a wrong reply mentions the right one. The results are the share of right answers that a
protocol accepts, per phrasing, and the number of wrong ones.

    python benchmarks/fairness.py [--answers 250] [--only vstar …] [--protocols fair official strict] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maestro_eval.conformance.cases import METRIC_OF
from maestro_eval.records import Sample
from maestro_eval.scoring import judge

_SEED = 20261128
_GOAL = 0.99


class Item(Struct, frozen=True):
    """A question with a right and a wrong answer as a model writes them; ``sentence`` states one in words."""

    sample: Sample
    right: str
    wrong: str
    sentence: str = "the answer is {}"


class Row(Struct, frozen=True):
    """A protocol's results on one phrasing of a benchmark's answers."""

    benchmark: str
    phrasing: str
    protocol: str
    answers: int
    accepted: int
    wrong_accepted: int
    examples: list[str] = field(default_factory=list)


_REASON = (
    "I look at the picture step by step. At first {other} seems possible, but the details on the left rule it out."
)
_SHORT_REASON = "the details in the picture show it"


def _json(answer: str, explanation: bool) -> str:
    return json.dumps({"answer": answer} | ({"explanation": "It follows from the image."} if explanation else {}))


# Each writes an answer, given another one that it may consider first and a sentence that states it.
PHRASINGS: dict[str, Callable[[str, str, str], str]] = {
    "bare": lambda a, o, s: a,
    "full stop": lambda a, o, s: f"{a}.",
    "bold": lambda a, o, s: f"**{a}**",
    "quoted": lambda a, o, s: f'"{a}"',
    "box": lambda a, o, s: f"\\boxed{{{a}}}",
    "dollars and box": lambda a, o, s: f"$\\boxed{{{a}}}$",
    "Answer:": lambda a, o, s: f"Answer: {a}",
    "ANSWER:": lambda a, o, s: f"ANSWER: {a}",
    "Answer =": lambda a, o, s: f"Answer = {a}",
    "bold label": lambda a, o, s: f"**Answer:** {a}",
    "bold line": lambda a, o, s: f"**Answer: {a}**",
    "Final answer:": lambda a, o, s: f"Final answer: {a}",
    "Final Answer: bold": lambda a, o, s: f"Final Answer: **{a}**",
    "the answer is": lambda a, o, s: f"The answer is {a}.",
    "the correct answer is": lambda a, o, s: f"The correct answer is **{a}**.",
    "my answer is": lambda a, o, s: f"My answer is {a}. {_SHORT_REASON.capitalize()}.",
    "I think": lambda a, o, s: f"I think it is {a}.",
    "tag": lambda a, o, s: f"<answer>{a}</answer>",
    "tag on lines": lambda a, o, s: f"<answer>\n{a}\n</answer>",
    "sentence in tag": lambda a, o, s: f"<answer>The answer is {a}.</answer>",
    "thought": lambda a, o, s: f"<think>{_REASON.format(other=o)} The answer is {o}? No.</think>\n\n{a}",
    "thought and tag": lambda a, o, s: f"<think>Is it {o}? Hmm.</think>\n<answer>{a}</answer>",
    "other thought": lambda a, o, s: f"[THINK]Maybe {o}.[/THINK]{a}",
    "box tokens": lambda a, o, s: f"{_REASON.format(other=o)}\n<|begin_of_box|>{a}<|end_of_box|>",
    "end token": lambda a, o, s: f"Answer: {a}<|im_end|>",
    "reason, label": lambda a, o, s: f"{_REASON.format(other=o)}\n\nAnswer: {a}",
    "reason, line": lambda a, o, s: f"{_REASON.format(other=o)}\n\n{a}",
    "reason, bold line": lambda a, o, s: f"{_REASON.format(other=o)}\n\n**{a}**",
    "so the answer is": lambda a, o, s: f"{_REASON.format(other=o)} So the answer is {a}.",
    "therefore": lambda a, o, s: f"{_REASON.format(other=o)}\n\nTherefore, the answer is **{a}**.",
    "hence": lambda a, o, s: f"{_REASON.format(other=o)} Hence, {a}.",
    "arrow": lambda a, o, s: f"{_REASON.format(other=o)}\n→ {a}",
    "heading": lambda a, o, s: f"### Reasoning\n{_REASON.format(other=o)}\n\n### Answer\n{a}",
    "heading, bold": lambda a, o, s: f"## Final Answer\n\n**{a}**",
    "final answer, box": lambda a, o, s: (
        f"{_REASON.format(other=o)}\n\n**Final Answer**\n\nThe final answer is $\\boxed{{{a}}}$"
    ),
    "JSON": lambda a, o, s: _json(a, explanation=False),
    "JSON, fenced": lambda a, o, s: f"```json\n{_json(a, explanation=True)}\n```",
    "answer, explanation": lambda a, o, s: f"{a}\n\nExplanation: {_SHORT_REASON}.",
    "not that, this": lambda a, o, s: f"It is not {o}. The answer is {a}.",
    "sentence": lambda a, o, s: f"Based on the image, {s.format(a)}.",
}

_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "purple", "orange", "dark red", "light blue")
_PLACES = (
    "on the left side of the car",
    "on the right side of the car",
    "above the door",
    "behind the tree",
    "near the window",
)
_TISSUES = (
    "Actin filaments anchored at the cell cortex", "Microtubules emanating from the centrosome",
    "Keratin bundles around the nucleus", "A fixation artefact of the membrane", "Autofluorescence of the medium",
)  # fmt: skip
_ROCKS = ("basalt", "granite", "shale", "gneiss", "limestone", "sandstone", "a subduction zone", "a transform fault")
_COUNTRIES = (
    "Belgium",
    "New Zealand",
    "Portugal",
    "Chile",
    "United States",
    "South Korea",
    "Norway",
    "Strongly agree",
    "Very good",
)
_ORGANS = (
    "Liver",
    "Left lung",
    "Spleen",
    "Brain",
    "Kidney",
    "Heart",
    "Chest",
    "Abdomen",
    "MRI",
    "X-Ray",
    "Upper Right",
    "T2",
)
_SIGNS = (
    "Main Street",
    "EXIT",
    "STOP",
    "Coca-Cola",
    "Bank of China",
    "No Parking",
    "Open 24 Hours",
    "£4.50",
    "2019-03-14",
    "CENTRE",
)
_NOUNS = ("cars", "people", "dogs", "chairs", "birds", "boats")


def _options(
    draw: random.Random, texts: tuple[str, ...], question: str, sentence: str = "the correct option is {}"
) -> Item:
    choices = tuple(draw.sample(texts, 4))
    right, wrong = draw.sample(range(4), 2)
    manner = draw.randrange(6)
    sample = Sample("", "1", question, (chr(ord("A") + right),), choices=choices)
    return Item(sample, _option(right, choices, manner), _option(wrong, choices, manner), sentence)


def _option(index: int, choices: tuple[str, ...], manner: int) -> str:
    letter, text = chr(ord("A") + index), choices[index]
    return (letter, letter, f"({letter})", f"{letter}. {text}", f"({letter}) {text}", text)[manner]


def _vstar(draw: random.Random) -> Item:
    if draw.random() < 0.5:
        return _options(draw, _COLOURS, "What is the color of the car?")
    return _options(draw, _PLACES, "Where is the dog?")


def _microvqa(draw: random.Random) -> Item:
    return _options(draw, _TISSUES, "Which structure explains the signal?")


def _msearth(draw: random.Random) -> Item:
    return _options(draw, _ROCKS, "Which rock or setting does the map show?")


def _erqa(draw: random.Random) -> Item:
    right, wrong = draw.sample("ABCD", 2)
    form = draw.choice(("{}", "{}", "({})", "{}."))
    return Item(
        Sample("", "1", "Which option is best?", (right,)),
        form.format(right),
        form.format(wrong),
        "the correct option is {}",
    )


def _geometry(draw: random.Random) -> Item:
    values = draw.sample(range(10, 170), 4)
    forms = draw.choice(("{}", "{}.5", "{} \\sqrt {{ 3 }}", "\\frac {{ {} }} {{ 7 }}"))
    return _options(draw, tuple(forms.format(value) for value in values), "Find x.")


def _chart(draw: random.Random) -> Item:
    kind = draw.randrange(4)
    if kind == 0:
        right, wrong = draw.sample(_COUNTRIES, 2)
        return Item(Sample("", "1", "Which country had the highest value?", (right,)), right, wrong, "it is {}")
    if kind == 1:
        right, wrong = draw.sample(("Yes", "No"), 2)
        return Item(
            Sample("", "1", "Is the blue bar higher than the red bar?", (right,)), right, wrong, "the answer is {}"
        )
    value = draw.choice((draw.randint(2, 99), round(draw.uniform(1, 900), 1), draw.randint(1000, 90000)))
    off = value + max(3, round(value * draw.uniform(0.1, 0.9)))
    unit = "%" if kind == 2 and value < 100 else draw.choice(("", "", " million", " units"))
    form = "{:,}" if value >= 1000 else "{}"
    sample = Sample("", "1", "What was the value in 2020?", (f"{value}%" if unit == "%" else f"{value}",))
    return Item(sample, form.format(value) + unit, form.format(round(off, 1)) + unit, "the value in 2020 was {}")


def _slake(draw: random.Random) -> Item:
    if draw.random() < 0.4:
        right, wrong = draw.sample(("Yes", "No"), 2)
        return Item(
            Sample("", "1", "Does the picture contain liver?", (right,), fields={"answer_type": "CLOSED"}), right, wrong
        )
    right, wrong = draw.sample(_ORGANS, 2)
    form = draw.choice(("{}", "{}", "the {}"))
    sample = Sample("", "1", "What is shown here?", (right,), fields={"answer_type": "OPEN"})
    return Item(sample, form.format(right), form.format(wrong), "it is {}")


def _tally(draw: random.Random) -> Item:
    noun = draw.choice(_NOUNS)
    right, wrong = draw.sample(range(16), 2)
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    spelled = draw.random() < 0.2 and max(right, wrong) <= 10
    form = draw.choice(("{}", "{}", "{} " + noun))
    written = [words[count] if spelled else str(count) for count in (right, wrong)]
    said = "{} is the count" if noun in form else "there are {} " + noun + " in the image"
    sample = Sample("", "1", f"How many {noun} are there?", (str(right),))
    return Item(sample, form.format(written[0]), form.format(written[1]), said)


def _mathvision(draw: random.Random) -> Item:
    kind = draw.randrange(5)
    if kind == 0:
        right, wrong = draw.sample("ABCDE", 2)
        question = draw.choice(("Which piece fits?", "Which tile could she not have used?"))
        return Item(Sample("", "1", question, (right,), choices=tuple("ABCDE")), right, wrong, "the piece is {}")
    if kind == 1:
        return _options(
            draw, tuple(f"${value} \\mathrm{{~cm}}$" for value in draw.sample(range(2, 90), 5)), "How long is it?"
        )
    if kind == 2:
        a, b, c = draw.sample(range(2, 30), 3)
        return Item(
            Sample("", "1", "How large?", (f"\\frac{{{a}}}{{{b}}}",)),
            f"\\frac{{{a}}}{{{b}}}",
            f"\\frac{{{a + c}}}{{{b}}}",
        )
    if kind == 3:
        a, b = draw.sample(range(-9, 10), 2)
        return Item(Sample("", "1", "Which point?", (f"({a},{b})",)), f"({a}, {b})", f"({b}, {a})")
    right, wrong = draw.sample(range(1, 500), 2)
    form = draw.choice(("{}", "{}", "{} \\text{{ cm}}", "{}^\\circ", "x = {}"))
    return Item(Sample("", "1", "What is x?", (str(right),)), form.format(right), form.format(wrong))


def _mathvista(draw: random.Random) -> Item:
    kind = draw.randrange(3)
    if kind == 0:
        item = _options(draw, _COLOURS[:8], "Which colour is left?")
        right = item.sample.choices["ABCD".index(item.sample.targets[0])]
        fields = {"question_type": "multi_choice", "answer_type": "text"}
        return Item(
            Sample("", "1", item.sample.question, (right,), choices=item.sample.choices, fields=fields),
            item.right,
            item.wrong,
        )
    if kind == 1:
        right, wrong = draw.sample(range(200), 2)
        fields = {"question_type": "free_form", "answer_type": "integer"}
        return Item(Sample("", "1", "How many are left?", (str(right),), fields=fields), str(right), str(wrong))
    value = round(draw.uniform(1, 90), 1)
    fields = {"question_type": "free_form", "answer_type": "float", "precision": "1"}
    return Item(
        Sample("", "1", "What is the ratio?", (str(value),), fields=fields), str(value), str(round(value + 1.3, 1))
    )


def _ocr(draw: random.Random) -> Item:
    right, wrong = draw.sample(_SIGNS, 2)
    sample = Sample("", "1", "What is written in the image?", (right,), fields={"dataset": "IIIT5K"})
    return Item(sample, right, wrong, "the text reads {}")


def _blind(draw: random.Random) -> Item:
    kind = draw.randrange(4)
    if kind == 0:
        right, wrong = draw.sample(range(1, 12), 2)
        form = draw.choice(("{}", "{{{}}}"))
        question = "How many circles are in this image? Answer with a number in curly brackets, for example, {4}."
        sample = Sample("", "1", question, (str(right),), fields={"task": "Olympic Counting - Circles"})
        return Item(sample, form.format(right), form.format(wrong), "I count {} circles")
    if kind == 1:
        right, wrong = draw.sample(("Yes", "No"), 2)
        question = "Are the two circles touching each other? Answer with Yes/No."
        return Item(Sample("", "1", question, (right,), fields={"task": "Touching Circles"}), right, wrong)
    if kind == 2:
        right, wrong = draw.sample("abdefghklmnoprstuvwxyzABDEFGH", 2)
        wrong = wrong if wrong.lower() != right.lower() else "q"
        form = draw.choice(("{}", "{{{}}}", "'{}'"))
        sample = Sample("", "1", "Which letter is being circled?", (right,), fields={"task": "Circled Letter"})
        return Item(sample, form.format(right), form.format(wrong), "the circled letter is {}")
    right, wrong = draw.sample([(rows, columns) for rows in range(3, 10) for columns in range(3, 10)], 2)
    form = draw.choice(("rows={{{}}} columns={{{}}}", "({}, {})", "{} rows and {} columns"))
    question = "Count the number of rows and columns. For example, rows={5} columns={6}"
    sample = Sample("", "1", question, (f"{right[0]},{right[1]}",), fields={"task": "Counting Grid - Blank Grids"})
    return Item(sample, form.format(*right), form.format(*wrong), "the grid has {}")


MAKERS: dict[str, Callable[[random.Random], Item]] = {
    "chartqa": _chart,
    "geometry3k": _geometry,
    "microvqa": _microvqa,
    "msearthmcq": _msearth,
    "slake": _slake,
    "tallyqa": _tally,
    "hrbench4k": _vstar,
    "hrbench8k": _vstar,
    "vstar": _vstar,
    "mathvision": _mathvision,
    "erqa": _erqa,
    "ocrbench": _ocr,
    "vlmsareblind": _blind,
    "mathvista": _mathvista,
}


def measure(benchmark: str, answers: int, protocols: tuple[str, ...], examples: int = 2) -> list[Row]:
    """Return each protocol's results on each phrasing of a benchmark's answers; the seed is fixed."""
    draw = random.Random(f"{_SEED} {benchmark}")
    items = [MAKERS[benchmark](draw) for _ in range(answers)]
    rows = []
    for name, write in PHRASINGS.items():
        for protocol in protocols:
            accepted = wrong_accepted = 0
            shown: list[str] = []
            for item in items:
                right = write(item.right, item.wrong, item.sentence)
                wrong = write(item.wrong, item.right, item.sentence)
                got = [judge(item.sample, reply, METRIC_OF[benchmark], protocol) for reply in (right, wrong)]
                accepted += got[0].value == 1
                wrong_accepted += got[1].value == 1
                if got[0].value != 1:
                    shown.append(f"missed {item.sample.targets[0]!r}: {right!r} ({got[0].extracted or got[0].note})")
                if got[1].value == 1:
                    shown.append(f"accepted for {item.sample.targets[0]!r}: {wrong!r}")
            rows.append(Row(benchmark, name, protocol, answers, accepted, wrong_accepted, shown[:examples]))
    return rows


def main() -> int:
    options = _arguments()
    rows = [row for name in options.only for row in measure(name, options.answers, tuple(options.protocols))]
    if options.json:
        print(json.dumps({"rows": to_builtins(rows)}))
        return 0
    _print_phrasings(rows, options.protocols)
    _print_benchmarks(rows, options.protocols)
    short = [
        row for row in rows if row.protocol == "fair" and (row.accepted < _GOAL * row.answers or row.wrong_accepted)
    ]
    for row in short:
        print(f"{row.benchmark}, {row.phrasing}: {row.accepted} of {row.answers}, {row.wrong_accepted} wrong accepted")
        print("".join(f"    {example}\n" for example in row.examples), end="")
    return 1 if short else 0


def _print_phrasings(rows: list[Row], protocols: list[str]) -> None:
    print("| phrasing | " + " | ".join(protocols) + " |\n|---" * 1 + "|" + "---|" * len(protocols))
    for phrasing in PHRASINGS:
        print(
            f"| {phrasing} | " + " | ".join(_share(rows, phrasing=phrasing, protocol=each) for each in protocols) + " |"
        )


def _print_benchmarks(rows: list[Row], protocols: list[str]) -> None:
    print("\n| benchmark | " + " | ".join(f"{each}: all, worst phrasing, wrong accepted" for each in protocols) + " |")
    print("|---|" + "---|" * len(protocols))
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        cells = []
        for protocol in protocols:
            own = [row for row in rows if (row.benchmark, row.protocol) == (benchmark, protocol)]
            worst = min(row.accepted / row.answers for row in own)
            wrong = sum(row.wrong_accepted for row in own)
            cells.append(f"{_share(own)}, {100 * worst:.1f} %, {wrong}")
        print(f"| {benchmark} | " + " | ".join(cells) + " |")


def _share(rows: list[Row], **wanted: str) -> str:
    kept = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    sums = Counter({"accepted": sum(row.accepted for row in kept), "answers": sum(row.answers for row in kept)})
    return f"{100 * sums['accepted'] / max(sums['answers'], 1):.1f} %"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=250)
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--protocols", nargs="+", default=["official", "fair", "strict"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
