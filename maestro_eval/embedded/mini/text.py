"""Generates the substitute for OCRBench: printed and bent words, digits, meaningless letters, signs and receipts.

A picture may be tilted, noisy, or of low contrast, but a person always reads it at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from maestro_eval.embedded.mini.canvas import FONTS, font, with_noise
from maestro_eval.embedded.mini.stage import Picture, Stage, pick, some
from maestro_eval.embedded.mini.words import LONG_WORDS, SHORT_WORDS

if TYPE_CHECKING:
    from numpy.random import Generator

_READ = (
    "What is written in the image?",
    "Which word does the picture show?",
    "Read the text in the image.",
)
_PAIRS = (
    ("#101010", "#f4f1e8"), ("#ffffff", "#2a4d7c"), ("#fff6d8", "#7a2323"), ("#1d2d50", "#cfe3d4"),
    ("#3a2a1a", "#e9d9b8"), ("#ffffff", "#3b3b3b"), ("#143d2b", "#f2e6a0"), ("#5b1a5e", "#ecdff0"),
)  # fmt: skip
_GOODS = (
    "Apples", "Bread", "Butter", "Candles", "Carrots", "Cheese", "Coffee", "Eggs", "Flour", "Honey", "Juice", "Lemons",
    "Milk", "Oats", "Onions", "Paper", "Pasta", "Rice", "Salt", "Soap", "Sugar", "Tea", "Tomatoes", "Yoghurt",
)  # fmt: skip
_SHOPS = ("CORNER STORE", "GREEN MARKET", "HARBOR FOODS", "HILLTOP GROCERY", "MAPLE DELI", "RIVER BAKERY", "SUNNY SHOP")
_PLACES = ("Bakery", "Library", "Museum", "Station", "Harbor", "Castle", "Garden", "Market", "Theater", "Airport")
_TRADES = ("BAKERY", "FLOWERS", "BOOKS", "TAILOR", "OPTICIAN", "PHARMACY", "FLORIST", "COFFEE", "BARBER", "BICYCLES")


@dataclass(frozen=True, slots=True)
class TextRow:
    dataset: str
    question: str
    question_type: str
    answer: tuple[str, ...]
    image: Picture


@dataclass(frozen=True, slots=True)
class Page:
    image: Image.Image
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Receipt:
    shop: str
    number: str
    date: str
    items: tuple[tuple[str, int], ...]
    """Name and price in cents."""

    @property
    def total(self) -> int:
        return sum(price for _name, price in self.items)


def make(stage: Stage) -> TextRow:
    rng = stage.rng()
    name = stage.deal("kind", tuple(KINDS))
    page = KINDS[name](rng)
    image = with_noise(page.image, rng, float(pick(rng, (0, 0, 4, 9))))
    picture = stage.picture(image, jpeg=pick(rng, (0, 0, 60, 85)))
    return TextRow("maestro_mini", page.question, name.split(":")[0], (page.answer,), picture)


def regular_word(rng: Generator) -> Page:
    """Draw one word."""
    word = _cased(rng, pick(rng, (*SHORT_WORDS, *LONG_WORDS)))
    return Page(_printed(rng, word), pick(rng, _READ), word)


def nonsense(rng: Generator) -> Page:
    """Draw letters that form no word, so that a dictionary does not help."""
    # Letters that are alike in upper and lower case, or like a digit, are excluded.
    letters = "".join(pick(rng, "ABDEFGHKLMNPQRTY") for _letter in range(int(rng.integers(4, 9))))
    return Page(
        _printed(rng, letters), pick(rng, (_READ[0], _READ[2], "Which letters does the picture show?")), letters
    )


def digits(rng: Generator) -> Page:
    """Draw a number of some digits, as on a meter or a ticket."""
    number = "".join(str(int(digit)) for digit in rng.integers(0, 10, int(rng.integers(4, 10))))
    question = pick(
        rng, ("What is the number in the image?", "Read the digits in the picture.", "Which number is shown?")
    )
    return Page(_printed(rng, number), question, number)


def rotated_word(rng: Generator) -> Page:
    """Draw a word rotated by up to 35 degrees."""
    word = _cased(rng, pick(rng, (*SHORT_WORDS, *LONG_WORDS)))
    ink, ground = pick(rng, _PAIRS)
    angle = float(pick(rng, (-1, 1)) * rng.uniform(10, 35))
    image = _printed(rng, word, ink, ground).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=ground)
    return Page(image, pick(rng, _READ), word)


def curved_word(rng: Generator) -> Page:
    """Draw a word along an arc."""
    word = _cased(rng, pick(rng, (*SHORT_WORDS, *LONG_WORDS)))
    ink, ground = pick(rng, _PAIRS)
    face = font(pick(rng, FONTS), int(rng.integers(36, 56)))
    length, size = face.getlength(word), int(face.size)
    radius = length / float(rng.uniform(0.9, 1.7))
    up = bool(rng.random() < 0.6)
    width, height = int(length + 3 * size), int(length * 0.5 + 3 * size)
    image = Image.new("RGB", (width, height), ground)
    sagitta = radius * (1 - math.cos(length / radius / 2))
    run = -length / 2
    for letter in word:
        step = face.getlength(letter)
        angle = (run + step / 2) / radius
        run += step
        tile = Image.new("L", (3 * size, 3 * size))
        ImageDraw.Draw(tile).text((1.5 * size, 1.5 * size), letter, font=face, fill=255, anchor="ms")
        turned = tile.rotate(-math.degrees(angle) * (1 if up else -1), Image.Resampling.BICUBIC)
        drop = radius * (1 - math.cos(angle)) - sagitta / 2
        x = width / 2 + radius * math.sin(angle) - 1.5 * size
        y = height / 2 + (drop if up else -drop) - 1.5 * size
        image.paste(Image.new("RGB", tile.size, ink), (round(x), round(y)), turned)
    return Page(image, pick(rng, _READ), word)


def slanted_word(rng: Generator) -> Page:
    """Draw a word seen from the side."""
    word = _cased(rng, pick(rng, (*SHORT_WORDS, *LONG_WORDS)))
    ink, ground = pick(rng, _PAIRS)
    return Page(_from_aside(rng, _printed(rng, word, ink, ground), ground), pick(rng, _READ), word)


def sign(rng: Generator) -> Page:
    """Draw a road sign with two or three places and their distances."""
    ink, ground = pick(
        rng, (("#ffffff", "#1b5e3a"), ("#ffffff", "#1f4e9e"), ("#111111", "#f3d34a"), ("#111111", "#f5f5f0"))
    )
    places = some(rng, _PLACES, int(rng.integers(2, 4)))
    distances = sorted(some(rng, range(2, 99), len(places)))
    name, size = pick(rng, ("DejaVuSans", "DejaVuSans-Bold", "STIXGeneralBol")), int(rng.integers(28, 40))
    image = Image.new("RGB", (13 * size, int((len(places) * 1.6 + 1.2) * size)), ground)
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((6, 6, image.width - 7, image.height - 7), radius=14, outline=ink, width=4)
    for row, (place, distance) in enumerate(zip(places, distances, strict=True)):
        y = (row * 1.6 + 1.4) * size
        pen.text((0.9 * size, y), place, font=font(name, size), fill=ink, anchor="lm")
        pen.text((image.width - 0.9 * size, y), f"{distance} km", font=font(name, size), fill=ink, anchor="rm")
    asked = int(rng.integers(len(places)))
    question = pick(
        rng,
        ("How many kilometres is it to the {}, by the sign?", "How far away is the {} according to the sign, in km?"),
    )
    return Page(_scene(rng, image), question.format(places[asked]), str(distances[asked]))


def shop_front(rng: Generator) -> Page:
    """Draw a shop's board with its name, trade, opening hours and telephone."""
    ink, ground = pick(rng, _PAIRS)
    owner, trade = pick(rng, LONG_WORDS).title(), pick(rng, _TRADES)
    opens, closes = int(rng.integers(6, 11)), int(rng.integers(16, 22))
    phone = f"{int(rng.integers(200, 999))}-{int(rng.integers(1000, 9999))}"
    big, small = font(pick(rng, FONTS), int(rng.integers(44, 58))), font("DejaVuSans", int(rng.integers(22, 27)))
    image = Image.new("RGB", (560, 300), ground)
    pen = ImageDraw.Draw(image)
    pen.text((280, 55), owner, font=small, fill=ink, anchor="mm")
    pen.text((280, 125), trade, font=big, fill=ink, anchor="mm")
    pen.text((280, 200), f"Open {opens}:00 - {closes}:00", font=small, fill=ink, anchor="mm")
    pen.text((280, 250), f"Phone {phone}", font=small, fill=ink, anchor="mm")
    question, answer = pick(
        rng,
        (
            ("What is the phone number on the board?", phone),
            ("At what time does the shop open?", f"{opens}:00"),
            ("What time does the shop close?", f"{closes}:00"),
            ("Which name stands above the large word on the board?", owner),
        ),
    )
    return Page(_scene(rng, image), question, answer)


def notice(rng: Generator) -> Page:
    """Draw a printed table of places, like a timetable."""
    rooms = [str(room) for room in some(rng, range(101, 560), 5)]
    subjects = some(rng, ("History", "Biology", "Algebra", "Music", "Drawing", "Physics", "Latin", "Geography"), 5)
    hours = sorted(some(rng, range(8, 18), 5))
    face, head = font(pick(rng, FONTS[:6]), 22), font("DejaVuSans-Bold", 26)
    image = Image.new("RGB", (500, 330), pick(rng, ("#ffffff", "#fbfaf2", "#eef3ee")))
    pen = ImageDraw.Draw(image)
    pen.text((250, 34), "COURSES OF TODAY", font=head, fill="#111111", anchor="mm")
    for row, line in enumerate(
        zip([f"{hour}:30" for hour in hours], subjects, [f"Room {room}" for room in rooms], strict=True)
    ):
        for x, cell in zip((40, 160, 340), line, strict=True):
            pen.text((x, 90 + 46 * row), cell, font=face, fill="#222222", anchor="lm")
        pen.line((30, 113 + 46 * row, 470, 113 + 46 * row), fill="#999999")
    asked = int(rng.integers(5))
    question, answer = pick(
        rng,
        (
            (f"In which room is {subjects[asked]} taught?", rooms[asked]),
            (f"At what time does {subjects[asked]} begin?", f"{hours[asked]}:30"),
        ),
    )
    return Page(_on_table(rng, image), question, answer)


def receipt(rng: Generator) -> Page:
    """Draw a till receipt: its total, one of its prices, its date, number or shop."""
    bill = Receipt(
        pick(rng, _SHOPS),
        f"{int(rng.integers(10000, 99999))}",
        f"{int(rng.integers(2015, 2025))}-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}",
        tuple((name, int(rng.integers(80, 2000))) for name in some(rng, _GOODS, int(rng.integers(3, 7)))),
    )
    name, price = bill.items[int(rng.integers(len(bill.items)))]
    question, answer = pick(
        rng,
        (
            (pick(rng, ("What is the total on the receipt?", "How much has to be paid in total?")), _money(bill.total)),
            (pick(rng, ("What is the total on the receipt?", "How much has to be paid in total?")), _money(bill.total)),
            (f"What is the price of {name} on the receipt?", _money(price)),
            ("What is the date on the receipt?", bill.date),
            ("What is the number of the receipt?", bill.number),
            ("What is the name of the shop on the receipt?", bill.shop),
        ),
    )
    return Page(_on_table(rng, _till_roll(rng, bill)), question, answer)


KINDS: dict[str, Callable[[Generator], Page]] = {
    "Regular Text Recognition": regular_word,
    "Non-Semantic Text Recognition": nonsense,
    "Digit String Recognition": digits,
    "Irregular Text Recognition:rotated": rotated_word,
    "Irregular Text Recognition:curved": curved_word,
    "Irregular Text Recognition:slanted": slanted_word,
    "Scene Text-centric VQA:sign": sign,
    "Scene Text-centric VQA:shop": shop_front,
    "Doc-oriented VQA": notice,
    "Key Information Extraction": receipt,
}


def _till_roll(rng: Generator, bill: Receipt) -> Image.Image:
    face = font(pick(rng, ("DejaVuSansMono", "DejaVuSansMono", "DejaVuSans", "DejaVuSerif")), 20)
    image = Image.new("RGB", (380, 300 + 30 * len(bill.items)), pick(rng, ("#ffffff", "#fbfaf5", "#f2f2f2")))
    pen, ink = ImageDraw.Draw(image), pick(rng, ("#111111", "#333333", "#2a2a4a"))
    pen.text((190, 36), bill.shop, font=font("DejaVuSans-Bold", 24), fill=ink, anchor="mm")
    pen.text((24, 80), f"Receipt No. {bill.number}", font=face, fill=ink, anchor="lm")
    pen.text((24, 110), f"Date {bill.date}", font=face, fill=ink, anchor="lm")
    pen.line((20, 132, 360, 132), fill=ink)
    y = 156
    for name, price in bill.items:
        pen.text((24, y), name, font=face, fill=ink, anchor="lm")
        pen.text((356, y), _money(price), font=face, fill=ink, anchor="rm")
        y += 30
    pen.line((20, y - 8, 360, y - 8), fill=ink)
    paid = -(-bill.total // 1000) * 1000
    for label, amount in ((pick(rng, ("TOTAL", "Total")), bill.total), ("Cash", paid), ("Change", paid - bill.total)):
        pen.text((24, y + 16), label, font=face, fill=ink, anchor="lm")
        pen.text((356, y + 16), _money(amount), font=face, fill=ink, anchor="rm")
        y += 32
    return image


def _printed(rng: Generator, text: str, ink: str = "", ground: str = "") -> Image.Image:
    """Draw the text in the middle of a picture that is not much larger."""
    if not ink:
        ink, ground = pick(rng, _PAIRS)
    face = font(pick(rng, FONTS), int(rng.integers(30, 68)))
    margin = int(rng.integers(18, 50))
    left, top, right, bottom = face.getbbox(text, anchor="ls")
    image = Image.new("RGB", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin), ground)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, font=face, fill=ink, anchor="ls")
    return image


def _from_aside(rng: Generator, image: Image.Image, ground: str) -> Image.Image:
    """Transform the picture as seen from its left or right."""
    width, height = image.size
    near, far = height * float(rng.uniform(0.25, 0.5)), height * float(rng.uniform(0.0, 0.1))
    left, right = (near, far) if rng.random() < 0.5 else (far, near)
    # These are the positions of the result's corners in the picture; on the side that shrinks they are outside of it.
    quad = (0, -left, 0, height + left, width, height + right, width, -right)
    return image.transform(image.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC, fillcolor=ground)


def _scene(rng: Generator, board: Image.Image) -> Image.Image:
    """Draw a board, slightly rotated, in front of a wall or a sky with a vertical gradient."""
    width, height = board.width + int(rng.integers(60, 160)), board.height + int(rng.integers(60, 160))
    top, low = pick(rng, ((235, 190), (190, 120), (160, 210)))
    shade = Image.linear_gradient("L").resize((width, height)).point(lambda level: top + (low - top) * level // 255)
    tint = pick(rng, ((1.0, 1.0, 1.0), (0.8, 0.92, 1.0), (1.0, 0.93, 0.82)))
    scene = Image.merge("RGB", [shade.point(lambda level, part=part: int(level * part)) for part in tint])
    turned = board.convert("RGBA").rotate(float(rng.uniform(-5, 5)), Image.Resampling.BICUBIC, expand=True)
    scene.paste(turned, ((width - turned.width) // 2, (height - turned.height) // 2), turned)
    return scene


def _on_table(rng: Generator, page: Image.Image) -> Image.Image:
    """Draw a page on a table, rotated by up to three degrees."""
    ground = pick(rng, ("#8a7a66", "#5c6670", "#b9b2a4", "#d8d8d8"))
    turned = page.convert("RGBA").rotate(float(rng.uniform(-3, 3)), Image.Resampling.BICUBIC, expand=True)
    table = Image.new("RGB", (turned.width + 30, turned.height + 30), ground)
    table.paste(turned, (15, 15), turned)
    return table


def _cased(rng: Generator, word: str) -> str:
    return pick(rng, (word, word.title(), word.upper()))


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
