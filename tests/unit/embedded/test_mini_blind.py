import json
from collections import Counter, deque
from functools import lru_cache
from itertools import pairwise

import numpy
import pytest

from maestro_eval.embedded.mini import blind, subway
from maestro_eval.embedded.mini.blind import BlindRow
from maestro_eval.embedded.mini.stage import Stage

TASK = "maestro_mini_vlmsareblind"


@lru_cache
def rows(drawer: str, count: int = 12) -> list[tuple[BlindRow, dict]]:
    place = [task.__name__ for task in blind.TASKS].index(drawer)
    made = [blind.make(Stage(1011, TASK, 7 * number + place)) for number in range(count)]
    return [(row, json.loads(row.metadata)) for row in made]


def meet(a: tuple, b: tuple, c: tuple, d: tuple) -> bool:
    def side(p: tuple, q: tuple, r: tuple) -> int:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def test_crossings_are_those_of_the_segments() -> None:
    for row, about in rows("lines"):
        blue, red = list(enumerate(about["blue"])), list(enumerate(about["red"]))
        crossings = sum(meet(a, b, c, d) for a, b in pairwise(blue) for c, d in pairwise(red))
        assert row.groundtruth == str(crossings)
        assert row.task == "Line Plot Intersections"
    assert Counter(row.groundtruth for row, _about in rows("lines")) == {"0": 4, "1": 4, "2": 4}


def test_circles_touch_at_no_gap_and_overlap_only_below() -> None:
    for row, about in rows("circles"):
        yes = about["gap"] <= 0 if about["question"] == "touch" else about["gap"] < 0
        assert about["question"] in row.prompt or "in touch" in row.prompt
        assert row.groundtruth == ("Yes" if yes else "No")
        assert -0.15 <= about["gap"] <= 0.5
    assert Counter(row.groundtruth for row, _about in rows("circles")) == {"Yes": 6, "No": 6}


def test_circled_letter_is_the_one_at_the_red_ellipse() -> None:
    from PIL import Image

    from maestro_eval.embedded.mini.canvas import font

    for row, about in rows("letter", 6):
        assert row.groundtruth == about["word"][about["place"]]
        pixels = numpy.asarray(Image.open(_file(row)).convert("RGB")).astype(int)
        red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
        ink = pixels.sum(axis=2) < 200
        ringed = numpy.flatnonzero(red.any(axis=0)).mean()
        drawn = numpy.flatnonzero(ink.any(axis=0))
        assert drawn[0] > 0
        assert drawn[-1] < 511
        # Where along the word the ellipse lies, compared with where the letter lies in the font's measure.
        face, word, place = font(about["font"], 40), about["word"], about["place"]
        share = (face.getlength(word[:place]) + face.getlength(word[: place + 1])) / 2 / face.getlength(word)
        half = face.getlength(word[place]) / 2 / face.getlength(word)
        assert abs((ringed - drawn[0]) / (drawn[-1] - drawn[0]) - share) < half + 0.01


def test_rings_are_dealt_from_five_to_nine() -> None:
    made = rows("rings", 20)
    assert Counter((row.task.split(" - ")[1], row.groundtruth) for row, _about in made) == {
        (shape, str(count)): 2 for shape in ("Circles", "Pentagons") for count in range(5, 10)
    }
    assert all(about["shape"] in row.prompt for row, about in made)


def test_squares_are_nested_and_shrink_by_the_authors_rule() -> None:
    for row, about in rows("squares"):
        assert row.groundtruth == str(len(about["squares"]))
        for (x, y, size), (inner_x, inner_y, inner) in pairwise(about["squares"]):
            assert inner == pytest.approx(0.75 * size - 0.75, abs=1e-3)
            assert x < inner_x
            assert y < inner_y
            assert inner_x + inner < x + size
            assert inner_y + inner < y + size


def test_grid_has_as_many_cells_in_its_pixels() -> None:
    from PIL import Image

    for row, _about in rows("grid", 6):
        dark = numpy.asarray(Image.open(_file(row)).convert("L")) < 128
        down, across = dark.all(axis=1), dark.all(axis=0)
        lines = [int(axis[0]) + int((numpy.diff(axis.astype(int)) > 0).sum()) for axis in (down, across)]
        assert row.groundtruth == ",".join(str(count - 1) for count in lines)


def test_subway_routes_are_found_by_walking_each_colour() -> None:
    for row, about in rows("stations"):
        one, other = about["stations"]
        found = sum(_leads(route, one, other) for route in about["routes"])
        assert row.groundtruth == str(found)
        assert f"{one}" in row.prompt
        assert f"{other}" in row.prompt
        assert len({route["colour"] for route in about["routes"]}) == len(about["routes"]) == 2 * about["degree"]


def test_subway_routes_share_no_track_and_cross_only_straight() -> None:
    for number in range(15):
        plan = subway.lay_out(numpy.random.default_rng(number), tuple("abcdef"), ("A", "C"), number % 4)
        tracks = Counter(frozenset(track) for route in plan.routes for track in pairwise(route.nodes))
        assert max(tracks.values()) == 1
        uses: dict[tuple[int, int], list[str]] = {}
        for route in plan.routes:
            for before, node, after in zip(route.nodes, route.nodes[1:], route.nodes[2:], strict=False):
                level, upright = before[1] == after[1], before[0] == after[0]
                uses.setdefault(node, []).append("-" if level else "|" if upright else "bend")
            for node in (route.nodes[0], route.nodes[-1]):
                uses.setdefault(node, []).append("end")
        assert all(len(ways) == 1 or sorted(ways) == ["-", "|"] for ways in uses.values())


def _leads(route: dict, one: str, other: str) -> bool:
    """A walk over the route's tracks from the border at one station comes to the border at the other."""
    tracks: dict[tuple, set] = {}
    for a, b in pairwise(map(tuple, route["nodes"])):
        tracks.setdefault(a, set()).add(b)
        tracks.setdefault(b, set()).add(a)
    stations = {"A": (1, 0), "B": (0, 17), "C": (1, 17), "D": (0, 0)}

    def ends_at(station: str) -> list[tuple]:
        axis, value = stations[station]
        return [node for node, near in tracks.items() if len(near) == 1 and node[axis] == value]

    queue, seen = deque(ends_at(one)), set(ends_at(one))
    while queue:
        for near in tracks[queue.popleft()] - seen:
            seen.add(near)
            queue.append(near)
    return bool(seen & set(ends_at(other)))


def _file(row: BlindRow):
    import io

    return io.BytesIO(row.image.data)
