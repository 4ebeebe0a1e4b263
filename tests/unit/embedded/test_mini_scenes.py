import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from maestro_eval.embedded.mini import charts, counting, geometry, perception, shapes, text
from maestro_eval.embedded.mini.shapes import COLOURS, SHAPES, Look, Thing
from maestro_eval.embedded.mini.stage import Stage


def numbers(problem: geometry.Problem) -> list[float]:
    return [float(found) for label in problem.labels if (found := label.text.split("°")[0].split(" ")[0])[0].isdigit()]


def solve(kind: str, problem: geometry.Problem) -> float:
    """The answer from the printed numbers alone."""
    given = numbers(problem)
    spans = problem.lines[0][0] == (0.0, 0.0)
    radius = given[0] if spans else given[0] / 2
    simple = {
        "third_angle": lambda: 180 - sum(given),
        "fourth_angle": lambda: 360 - sum(given),
        "isosceles": lambda: (180 - given[0]) / 2,
        "hypotenuse": lambda: math.sqrt(given[0] ** 2 + given[1] ** 2),
        "leg": lambda: math.sqrt(max(given) ** 2 - min(given) ** 2),
        "rectangle_area": lambda: given[0] * given[1],
        "rectangle_perimeter": lambda: 2 * sum(given),
        "triangle_area": lambda: given[0] * given[1] / 2,
        "circle_area": lambda: math.pi * radius**2,
        "circle_circumference": lambda: 2 * math.pi * radius,
        "straight_line": lambda: 180 - given[0],
        "right_corner": lambda: 90 - given[0],
    }
    return simple[kind]()


@pytest.mark.parametrize("kind", sorted(set(geometry.KINDS) - {"parallels"}))
def test_geometry_is_solved_by_the_printed_numbers(kind: str) -> None:
    for seed in range(25):
        problem = geometry.KINDS[kind](default_rng(seed))
        assert problem.answer == pytest.approx(solve(kind, problem), abs=0.051)


def test_parallels_are_right_as_drawn() -> None:
    for seed in range(25):
        problem = geometry.parallels(default_rng(seed))
        given, sought = problem.labels[:2]
        (low, high) = problem.lines[2]
        lean = math.degrees(math.atan2(high[1] - low[1], high[0] - low[0]))
        measured = [lean if label.away[0] > lean_side(label, lean) else 180 - lean for label in (given, sought)]
        assert measured[0] == pytest.approx(float(given.text[:-1]))
        assert measured[1] == pytest.approx(problem.answer)


def lean_side(label: geometry.Label, lean: float) -> float:
    """How far to the right the slanting line is at the height of the label."""
    return label.away[1] / math.tan(math.radians(lean))


def test_geometry_choices_rise_and_the_letters_are_dealt() -> None:
    rows = [geometry.make(Stage(1013, "g", index)) for index in range(52)]
    assert Counter(row.ground_truth for row in rows) == dict.fromkeys("ABCD", 13)
    for row in rows:
        values = [float(choice) for choice in row.choices]
        assert values == sorted(set(values))
        assert len(values) == 4
        assert min(values) > 0


def test_the_right_choice_is_the_answer() -> None:
    for seed in range(60):
        rng = default_rng(seed)
        answer = float(rng.integers(2, 300))
        choices = geometry._choices(rng, answer, (answer * 2, answer / 3, answer + 1), seed % 4)
        assert choices[seed % 4] == answer
        assert len(set(choices)) == 4


def recount(scene: counting.Scene) -> int:
    """Count by the words of what is wanted, not by the rule that built the scene."""
    wanted = scene.wanted.replace("crosses", "cross")
    head, _, relation = wanted.partition(" to the ")
    head, _, excluded = head.partition(" that are not ")
    shapes = [shape for shape in SHAPES if shape in head] or list(SHAPES)
    colours = [colour for colour in COLOURS if colour in head] or [c for c in COLOURS if c != excluded]
    found = [thing for thing in scene.things if thing.shape in shapes and thing.colour in colours]
    if head.startswith(("large", "small")):
        middle = (max(thing.size for thing in scene.things) + min(thing.size for thing in scene.things)) / 2
        assert middle == 24 or not found or len({thing.size for thing in scene.things}) == 1
        found = [thing for thing in found if (thing.size > 24) == head.startswith("large")]
    if relation:
        side, _, anchor = relation.partition(" of the ")
        (mark,) = [thing for thing in scene.things if thing.name == anchor]
        found = [thing for thing in found if abs(thing.x - mark.x) > 45 and (thing.x < mark.x) == (side == "left")]
    return len(found)


def test_counts_are_right_and_dealt() -> None:
    simple = []
    for index in range(64):
        stage = Stage(1014, "c", index)
        scene = counting.compose(stage, stage.rng(), index % 2 == 0)
        assert scene.answer == recount(scene), scene.wanted
        simple += [scene.answer] if index % 2 == 0 else []
    assert Counter(simple) == dict.fromkeys(range(16), 2)


def stencil(thing: Thing, about: Thing) -> NDArray[np.bool_]:
    """Which pixels of a window around ``about`` a thing takes, painted by Pillow, four times enlarged."""
    side = round(8 * about.size) + 8
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    x, y = 4 * (thing.x - about.x) + side / 2, 4 * (thing.y - about.y) + side / 2
    if thing.shape == "circle":
        pen.ellipse((x - 4 * thing.size, y - 4 * thing.size, x + 4 * thing.size, y + 4 * thing.size), fill=255)
    else:
        pen.polygon([(x + 4 * (px - thing.x), y + 4 * (py - thing.y)) for px, py in shapes._outline(thing)], fill=255)
    return np.asarray(mask) > 0


def near(one: Thing, other: Thing) -> bool:
    return math.dist((one.x, one.y), (other.x, other.y)) <= one.size + other.size


def hidden_share(things: Sequence[Thing], number: int) -> float:
    """How much of a thing lies under later ones."""
    whole = stencil(things[number], things[number])
    shown = whole.copy()
    for other in things[number + 1 :]:
        if near(things[number], other):
            shown &= ~stencil(other, things[number])
    return 1 - float(shown.sum() / whole.sum())


def crowds() -> Iterator[tuple[Look, Sequence[Thing]]]:
    """Scenes of both tasks with the look they were dealt."""
    for index in range(20):
        stage = Stage(1015, "c", index)
        scene = counting.compose(stage, stage.rng(), index % 2 == 0)
        yield scene.look, scene.things
    for index in range(5):
        stage = Stage(1015, "p", index)
        search = perception.attribute(stage, stage.rng(), 1000, 900)
        yield search.look, search.things


def test_most_of_every_thing_shows_and_what_touches_can_be_told_apart() -> None:
    most = 0.0
    for look, things in crowds():
        if not look.touching:
            assert not any(near(one, other) for one, other in combinations(things, 2))
            continue
        for number, one in enumerate(things):
            hidden = hidden_share(things, number)
            most = max(most, hidden)
            # The generator measures by points, so it is out by some hundredths.
            assert hidden <= shapes.HIDDEN_AT_MOST + 0.05
            for other in things[number + 1 :]:
                if near(one, other) and (stencil(one, one) & stencil(other, one)).any():
                    assert one.colour != other.colour or (look.edged and one.colour != "black")
                    assert not one.hollow
                    assert not other.hollow
    assert most > 0.15


def test_two_scenes_of_five_are_hard() -> None:
    looks = [shapes.look(Stage(1019, "c", index)) for index in range(100)]
    hard = [look for look in looks if look != Look(edged=look.edged, ground=look.ground)]
    assert 25 <= len(hard) <= 40
    for block in range(0, 100, 5):
        easy = [look for look in looks[block : block + 5] if look == Look(edged=look.edged, ground=look.ground)]
        assert len([look for look in easy if look.ground in ("plain", "striped")]) >= 3
    assert {look.ground for look in looks} == {"plain", "striped", "gradient", "blotched"}
    for has in ("touching", "hollow", "shaded", "small", "jpeg"):
        assert any(getattr(look, has) for look in hard)


@pytest.mark.parametrize("ground", ["plain", "gradient", "blotched"])
def test_every_colour_stands_out_from_every_ground(ground: str) -> None:
    things = [Thing("square", colour, 60.0 + 90 * place, 60.0, 30.0, 0.0) for place, colour in enumerate(COLOURS)]
    for seed in range(8):
        empty, drawn = (
            np.asarray(shapes.draw(default_rng(seed), some, 840, 120, Look(ground=ground, shaded=True)), dtype=int)
            for some in ((), things)
        )
        for thing in things:
            middle = (slice(50, 70), slice(round(thing.x) - 10, round(thing.x) + 10))
            assert np.linalg.norm(drawn[middle] - empty[middle], axis=2).min() > 60, (thing.colour, seed)


def test_a_hollow_thing_shows_the_ground_inside_its_outline() -> None:
    thing = Thing("circle", "blue", 50.0, 50.0, 30.0, 0.0, hollow=True)
    pixels = np.asarray(shapes.draw(default_rng(0), [thing], 100, 100), dtype=int)
    assert (pixels[50, 50] == pixels[2, 2]).all()
    rim = pixels[50, 74:82]
    assert (rim[:, 2] - rim[:, 0]).max() > 120
    assert (pixels[50, 81:] == pixels[2, 2]).all()


def test_what_is_searched_is_the_only_one_and_the_right_option_fits() -> None:
    for index in range(24):
        stage = Stage(1016, "p", index)
        search = perception.attribute(stage, stage.rng(), 1000, 900)
        (shape,) = [shape for shape in SHAPES if shape in search.question]
        (found,) = [thing for thing in search.things if thing.shape == shape]
        assert search.options[search.right] == found.colour
        search = perception.position(stage, stage.rng(), 1000, 900)
        names = re.findall(rf"the ((?:{'|'.join(COLOURS)}) \w+)", search.question)
        one, other = (thing for name in names for thing in search.things if thing.name == name)
        target, mark = (other, one) if search.question.startswith("On which") else (one, other)
        right = search.options[search.right]
        words = {
            "left": target.x < mark.x,
            "right": target.x > mark.x,
            "above": target.y < mark.y,
            "below": target.y > mark.y,
        }
        (said,) = [word for word in words if re.search(rf"\b{word}\b", right)]
        assert words[said]


def test_labels_of_a_search_are_dealt() -> None:
    labels = [(row.category, row.label) for row in (perception.make(Stage(1017, "p", index)) for index in range(16))]
    direct, relative = (Counter(label for name, label in labels if name.startswith(kind)) for kind in ("dir", "rel"))
    assert direct == dict.fromkeys("ABCD", 2)
    assert relative == dict.fromkeys("AB", 4)


def answer_chart(chart: charts.Chart, asked: str) -> str:
    """The answer from the chart's table and the question's words."""
    rows = [row for row, series in enumerate(chart.series) if series and f"for {series}" in asked] or [0]
    (row,) = rows
    table = dict(zip(chart.categories, chart.values[row], strict=True))
    bound = re.search(r"than ([\d.]+) ", asked)
    if bound:
        more = "larger" in asked
        return str(sum((value > float(bound[1])) if more else (value < float(bound[1])) for value in table.values()))
    most = any(word in asked for word in ("highest", "largest"))
    if most or any(word in asked for word in ("lowest", "smallest")):
        best = (max if most else min)(table, key=lambda name: table[name])
        return f"{table[best]:g}" if "any year" in asked else best
    named = [table[name] for name in table if re.search(rf"\b{re.escape(name)}\b", asked.replace("for " + name, ""))]
    if "differ" in asked:
        return f"{round(abs(named[0] - named[1]), 1):g}"
    return f"{round(sum(named), 1):g}"


@pytest.mark.parametrize("kind", charts.KINDS)
def test_chart_answers_follow_from_the_table(kind: str) -> None:
    checked = 0
    for seed in range(40):
        rng = default_rng(seed)
        chart = charts.compose(rng, kind)
        asked = charts.question(rng, chart, charts.ASKS[seed % 5])
        if asked is not None:
            assert asked.answer == answer_chart(chart, asked.question), asked
            checked += 1
    assert checked > 20


def test_unprinted_values_lie_on_gridlines_or_half_way() -> None:
    plain = [chart for seed in range(80) if not (chart := charts.compose(default_rng(seed), "lines")).labelled]
    assert plain
    assert all(value / chart.tick * 2 % 1 == 0 for chart in plain for values in chart.values for value in values)


def test_no_answer_is_a_year() -> None:
    rows = [
        charts.question(default_rng(seed), charts.compose(default_rng(seed), "line"), "extreme") for seed in range(60)
    ]
    assert not any(row and re.fullmatch(r"20(09|1\d|2\d)", row.answer) for row in rows)


def test_texts_have_every_type_and_an_answer_for_each() -> None:
    rows = [text.make(Stage(1018, "t", index)) for index in range(len(text.KINDS))]
    assert Counter(row.question_type for row in rows) == Counter(kind.split(":")[0] for kind in text.KINDS)
    assert all(len(row.answer) == 1 and row.answer[0].strip() for row in rows)


def test_a_receipts_total_is_the_sum_of_its_items() -> None:
    bill = text.Receipt("SHOP", "1", "2020-01-01", (("Milk", 199), ("Tea", 305)))
    assert text._money(bill.total) == "5.04"
