"""What a careful human accepts: neighbours of each kind of reply that was once misread, and what is never a point."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.records import NoAnswer, Sample
from maestro_eval.scoring import METRICS, judge


def asked(target: str, *choices: str, question: str = "?", **fields: str) -> Sample:
    return Sample("t", "1", question, (target,), choices=choices, fields=fields)


_COLOUR = asked("B", "Red", "Blue", "Green", "Purple", question="What is the color of the car?")
_NOT = asked("D", *"ABCDE", question="Which tile could she not have used?")
_PIECE = asked("D", *"ABCDE", question="Which piece is missing?")
_PRIME = asked("9", question="Which one is not a prime?")
_CIRCLES = asked("5", question="How many circles are in this image? Answer with a number in curly brackets, e.g. {4}.")
_CROSS = asked("0", question="How many times do the blue and red lines intersect?")
_GRID = asked("8,7", question="Count the number of rows and columns. For example, rows={5} columns={6}")
_TOUCH = asked("No", question="Are the two circles touching each other? Answer with Yes/No.")
_TOUCH_YES = asked("Yes", question="Are the two circles touching each other? Answer with Yes/No.")
_EVEN = asked("Yes", "Yes", "No", question="Is this function even?", question_type="multi_choice")
_MASS = asked("No", question="Is there a mass in the right lung?")
_ROCK = asked("B", "basalt", "granite", "shale", "gneiss")
_POINTS = asked("C", "(-6,0)", "(-4,0)", "(-2,0)", "(0,2)")
_ORGAN = asked("Liver", question="Which organ is abnormal?")
_SALES = asked("337.8", question="What was the value for Belgium in 2020?")
_SHARE = asked("14%", question="What percentage prefers tea?")
_YEAR = asked("1998", question="In which year did sales peak?")
_COUNTRY = asked("Belgium", question="Which country had the highest value in 2020?")
_CARS = asked("7", question="How many cars are there?")

RIGHT: list[tuple[str, Sample, list[str]]] = [
    ("option_letter", _COLOUR, [
        "B", "b", "B.", "(B)", "[B]", "{B}", "**B**", "`B`", "'B'", "\\boxed{B}", "$\\boxed{\\text{B}}$", "Option B",
        "option (B)", "B. Blue", "B) Blue", "(B) Blue", "B: Blue", "B - Blue", "B Blue", "**B. Blue**", "**B**. Blue",
        "Blue", "blue.", "Blue (B)", "The car is blue.\nB. Blue", "X.\nB) Blue", "I see a car.\n\n**B) Blue**",
        "### Answer\nB. Blue", "### Answer:\n\n**B**", "## Final Answer\nOption B", "**Answer**\nB", "Answer:\nB",
        "Hence, B.", "So, B.", "Thus B.", "Therefore, B", "So B is the answer.", "Hence, B is the correct answer.",
        "The sign is on the left, so B.", "it is blue, therefore (B).", "Looking at it -> B", "=> B", "→ B", "∴ B",
        "Final: (B) Blue", "Final answer - B", "I choose B) Blue.", "I would go with B.", "I'd pick option B",
        "My choice is B.", "The right choice is B", "The correct option is **B. Blue**", "The best answer is (B).",
        "B is correct.", "B ✓", "Of the options, B is right.", "B is the right answer because of the hue.",
        "Option B is correct.", "Choice (B) is the correct one.", "B, because the car is blue.", "B since it is blue",
        "(B), as shown in the image.", "The car is blue.", "The color of the car is blue.", "It's blue",
        "It is blue, so the answer is B.", "A is red, C is green, so it must be B.",
        "(A) is wrong. (C) is wrong. (D) is wrong. So (B).", "Not A. The answer is B.", "It is not A, it is B.",
        "Answer: B (Blue)", "Answer - B", "The answer is option B: Blue.", "The answer would be B.",
        "Answer: **B**\n\nThe car is blue.", "B\n\nThe car in the picture is blue.", "La respuesta es B.",
        "La réponse est B.", "Die Antwort ist B.", "A resposta correta é B.", "La risposta corretta è B", "Ответ: B",
        "答案是 B。因为叶子是蓝色的。", "正确答案是B。", "答案：B", "选B。", "故选B",
        "正解はBです。", "答えはBです", "정답은 B입니다.", "정답: B",
        "<answer>B</answer>", "<answer>(B) Blue</answer>", "<Answer>B</Answer>", "<answer>The answer is (B)</answer>",
        "<think>A?</think>B", '{"answer": "B"}', "Ｂ", "（Ｂ）", "B\u200b", "B<|im_end|>",
        "<|begin_of_box|>B<|end_of_box|>", "I am not sure, but B.", "Probably B.",
    ]),
    ("math", _NOT, [
        "The tile she could not have used is \\boxed{D}.", "The tile that she cannot have used is D.",
        "She could not have used D.", "Tile D could not have been used.", "D cannot be used.", "(D) does not fit.",
        "The one that doesn't fit is (D).", "D", "The answer is D.", "The only tile that can't be used is tile D.",
        "So the tile which was never used is D.", "The shape that cannot be formed is (D).",
    ]),
    ("math", _PRIME, [
        "The one that is not prime is 9, so the answer is \\boxed{9}.", "9 is not a prime.",
        "The number that isn't prime is 9.", "9",
    ]),
    ("blind", _CIRCLES, [
        "5", "{5}", "five", "There are 5 circles.", "Answer: 5 (3+2)",
        "There are 5 circles: 2 in the top row and 3 in the bottom row.", "{5}: three above, two below",
        "5 circles (2 red, 3 blue)", "I count 3 on top and 2 below, so 5 in total.", "3 + 2 = 5", "2+3=5 circles",
        "There are 2 in the first row, 3 in the second row. Total: 5", "A total of 5 circles", "5 in total",
        "1, 2, 3, 4, 5", "The image shows five circles.", "The number of circles is 5.",
        "There are 5 circles in this image, 3 of them overlapping.", "**{5}**", "\\{5\\}", "The answer is {5}.",
        "2 red circles and 3 blue circles, which makes 5 circles.", "Top row: 3. Bottom row: 2. So {5}.", "5 (five)",
        "$5$", "I can see exactly 5 circles.",
    ]),
    ("blind", _CROSS, [
        "0", "{0}", "zero", "The lines do not intersect.", "They never intersect.",
        "There are no intersection points.", "0 times",
    ]),
    ("blind", _GRID, [
        "rows={8} columns={7}", "rows={8} columns={7}\nThere are 8 rows", "Rows: 8, Columns: 7. So 8 rows.",
        "8 rows, 7 columns", "7 columns and 8 rows", "I count 8 rows and 7 columns, so rows={8} columns={7}",
        "rows={8}\ncolumns={7}", "{8}{7}", "(8, 7)", "(8,7)", "8x7", "8 x 7", "8 × 7", "8 by 7",
        "The table has 8 rows and 7 columns.", "eight rows and seven columns", "columns={7}, rows={8}",
        "Rows = 8\nColumns = 7", "**Rows:** 8\n**Columns:** 7", "rows = 8, columns = 7",
        "There are 8 rows, 7 columns in the grid", "The grid is 8 rows by 7 columns.",
        "number of rows is 8 and number of columns is 7", "Answer: rows={8} columns={7}",
        "$rows=\\{8\\}$ $columns=\\{7\\}$", '{"answer": "rows={8} columns={7}"}', "8, 7", "rows: 8 columns: 7",
        "It is a 8x7 grid.",
    ]),
    ("blind", _TOUCH, [
        "No", "no.", "**No**", "{No}", "No, they are apart.", "The circles are not touching.",
        "The two circles do not touch each other.", "They don't touch.", "The circles aren't touching", "Answer: No",
        "Looking closely, the circles are not touching.", "No. There is a gap.", "The answer is no.", "Not touching.",
    ]),
    ("blind", _TOUCH_YES, [
        "Yes", "Yes, they touch at one point.", "The circles are touching.", "They touch each other.", "yes they do",
        "The two circles touch.",
    ]),
    ("mathvista", _EVEN, [
        "Yes", "Yes, the function is even.", "A", "(A)", "The function is even.", "Yes, it is.", "Answer: yes",
        "The answer is Yes.",
    ]),
    ("short_answer", _MASS, [
        "No", "No, there is no mass.", "There is no mass in the right lung.", "no mass is seen", "No mass.",
        "There isn't a mass.",
    ]),
    ("short_answer", _ORGAN, [
        "Liver", "the liver", "It is the liver.", "The organ is the liver.", "Liver.",
        "The abnormal organ is the liver.", "Answer: the liver", "The liver is abnormal.", "Li\u200bver", "**Liver**",
        "liver, because of its colour", "It's the liver",
    ]),
    ("relaxed_accuracy", _SALES, [
        "337.8", "340", "about 340", "337.8 million", "$337.8", "The value was 337.8.",
        "In 2020 the value for Belgium was 337.8.", "337.8 in 2020", "approximately 337.8 units",
        "It rose to 337.8 in 2020", "≈ 338", "The answer is 337.8 (million USD).", "Belgium had 337.8 in 2020.",
    ]),
    ("relaxed_accuracy", _SHARE, [
        "14%", "14", "0.14", "14 percent", "14 %", "The share is 14%.", "About 14% prefer tea.",
        "14 percentage points",
    ]),
    ("relaxed_accuracy", _YEAR, [
        "1998", "In 1998.", "The peak was in 1998.", "Sales peaked in 1998.",
    ]),
    ("relaxed_accuracy", _COUNTRY, [
        "Belgium", "It is Belgium.", "Belgium had the highest value.", "The country is Belgium.",
        "Belgium, with 45 in 2020.",
    ]),
    ("integer", _CARS, [
        "7", "seven", "7 cars", "There are seven cars and 2 vans.", "3 + 4 = 7", "There are 7 cars: 3 red and 4 blue.",
        "3 red cars + 4 blue cars = 7 cars",
    ]),
    ("json_option", _ROCK, [
        '{"answer": "B", "explanation": "dips 30^\\circ"}', '{"answer": "B", "explanation": "x",}',
        "{'answer': 'B', 'explanation': 'x'}", '```json\n{\n  "answer": "B",\n  "explanation": "coarse",\n}\n```',
        '{"answer": "B. granite"}', '{"Answer": "(B)"}', '{"answer": "granite"}',
        '{"answer": "B", "explanation": "the "Moho" lies"}', '{"answer": "B", "explanation": "cut he',
        '{"answer": "B" // chosen\n}', "{answer: B}", '{"answer": ["B"]}', '{"final_answer": "B"}',
        '{"explanation": "option A looks right", "answer": "B"}', 'Sure!\n{"answer": "B"}\nHope it helps.',
        '{"answer": "B", "explanation": "line\nbreak"}', '{\n "answer" : "B"\n}',
        '{"explanation": "\\alpha", "answer": "B"}', '{"answer": “B”}',
    ]),
    ("math", _POINTS, [
        "The answer is: (-2,0)", "(-2, 0)", "C", "C. (-2,0)", "$(-2,0)$", "\\boxed{(-2,0)}", "The point is (-2, 0).",
    ]),
    ("math", asked("(1,2)"), [
        "Answer: (1,2)", "(1, 2)", "The point is (1,2).", "\\boxed{(1, 2)}", "$\\left(1, 2\\right)$",
        "The coordinates are (1, 2)",
    ]),
    ("short_answer", asked("Lung, Liver", question="Which organs are in the image?"), [
        "Lung, Liver", "liver and lung", "The organs are the lung and the liver.",
    ]),
    ("math", asked("(2,-1)"), [
        "(2, -1)", "(2,−1)", "The vertex is at (2, -1).",
    ]),
    ("math", asked("[0,2)"), [
        "\\boxed{[0, 2)}", "[0,2)", "The interval is [0, 2).", "x \\in [0,2)",
    ]),
    ("math", asked("\\{1,2,3\\}"), [
        "{1, 2, 3}", "The set is {1, 2, 3}.", "\\{1, 2, 3\\}", "\\boxed{\\{3,2,1\\}}",
    ]),
    ("math", asked("1,2"), [
        "x = 1 or x = 2", "1, 2", "1 and 2", "1 or 2", "x=1, x=2", "\\boxed{1} and \\boxed{2}", "\\boxed{1, 2}",
        "2, 1",
    ]),
    ("math", asked("8"), [
        "8", "8.0", "x = 8", "$x=8$", "\\boxed{8}", "\\boxed{S_{\\triangle ABC}=8}", "8 cm", "8cm", "8 \\text{ cm}",
        "8\\,\\text{cm}^2", "8~\\text{cm}", "8\\ \\mathrm{cm}", "8\\%", "8%", "8°", "8^\\circ", "8^{\\circ}",
        "8 degrees", "8 square units", "8 units", "8 km/h", "8 dollars", "$8", "\\$8", "€8", "8 triangles", "8 ml",
        "8 cm2", "8 cm²", "8 m", "8 people", "\\boxed{8}, not 9", "The area is 8.",
        "The area is \\boxed{8\\,\\text{cm}^2}.", "AB = 8", "\\angle ABC = 8^\\circ", "3 + 5 = 8", "2 \\cdot 4 = 8",
        "2^3", "\\sqrt{64}", "\\frac{16}{2}", "8.00", "＋8", "８", "x=3+5=8", "m\\angle A=8", "f(x) = 8", "|AB| = 8",
        "So there are 8 triangles in total.", "The answer is 8, since 3 + 5 = 8.", "\\text{Area} = 8", "Area = 8 cm^2",
        "8 inches", "\\boxed{x = 8}", "\\boxed{8 \\text{ meters per second}}", "8 \\, m/s", "\\mathbf{8}",
    ]),
    ("math", asked("1234"), [
        "1234", "1,234", "1 234", "1{,}234", "1\\,234", "1,234 km", "1234.0", "\\boxed{1,234}",
    ]),
    ("math", asked("1.234"), [
        "1.234", "1.234 m",
    ]),
    ("math", asked("1.5"), [
        "1.5", "3/2", "\\frac{3}{2}", "\\frac32", "\\dfrac{3}{2}", "\\tfrac{3}{2}", "1\\frac{1}{2}", "1 1/2", "1½",
        "1.50", "\\boxed{1\\frac{1}{2}}",
    ]),
    ("math", asked("-3"), [
        "-3", "−3", "–3", "x = -3", "\\boxed{-3}", "－3", "minus 3",
    ]),
    ("math", asked("\\frac{\\sqrt{3}}{2}"), [
        "\\frac{\\sqrt{3}}{2}", "\\dfrac{\\sqrt 3}{2}", "√3/2", "sqrt(3)/2", "\\sqrt{3}/2",
        "\\boxed{\\frac{\\sqrt3}{2}}", "0.866", "x = \\frac{\\sqrt{3}}{2} \\approx 0.866",
    ]),
    ("math", asked("4\\pi"), [
        "4\\pi", "4π", "4 \\pi", "\\boxed{4\\pi \\text{ cm}^2}", "4 pi", "4\\pi\\,\\text{cm}^2",
    ]),
    ("substring", asked("Main Street", question="What does the sign say?"), [
        "Main Street", "MAIN STREET", "The sign says Main Street.", "Main\u200b Street", "It reads:\nMain\nStreet",
        '"Main Street"',
    ]),
]  # fmt: skip

WRONG: list[tuple[str, Sample, list[str]]] = [
    ("option_letter", _COLOUR, [
        "Not B.", "not B", "It is not B.", "The answer is not B.", "It isn't B", "Definitely not (B)", "A or B", "A/B",
        "(A) or (B)", "A and B", "Both A and B", "Either A or B.", "B or D", "B or maybe D",
        "It could be B or D; I cannot tell.", "B, no, C", "B, no wait, C", "B... actually C", "B? No, C.",
        "B, or rather C", "Neither A nor B", "anything but B", "B is wrong.", "B is incorrect", "B is not the answer",
        "Option B is not correct", "B can be ruled out.", "All except B", "I cannot tell.", "I don't know", "Unclear",
        "A", "C", "Red", "Green", "The car is red.", "The car is not blue.", "It could be blue or green.",
        "A. Red\nB. Blue\nC. Green\nD. Purple", "Options: (A), (B), (C), (D)", "A\nB", "E", "Blueish things",
        "The answer is A or B.", "Answer: B or C", "The answer is either B or C", "\\boxed{A} or \\boxed{B}",
        "not \\boxed{B}", "<think>so B", "<think>The answer is B. Let me check", "‹think>B", "[THINK]B", "◁think▷ B",
        "<answer>A</answer> not <b>B</b>", "Answer: A. B is wrong.", "A is better than B.",
        "The answer is B. No, wait, it is C.", "The answer is B. Actually, C.", "", "   ", "?", "B vs C", "B, C",
        "between B and C", "The answer is B and D.",
    ]),
    ("math", _PIECE, [
        "It is not D.", "D is not it.", "not D", "D cannot be right", "The piece is not D", "A or D",
        "Everything but D.",
    ]),
    ("math", _NOT, [
        "It is not D.", "The answer is not D.", "D is wrong.", "She could not have used C.", "C", "D or E",
        "D is not the answer.",
    ]),
    ("math", _PRIME, [
        "7 is not a prime.", "7", "It is not 9", "9 or 7",
    ]),
    ("blind", _CIRCLES, [
        "Between 4 and 6.", "4 or 5", "5 or 6", "at least 5", "more than 5", "not 5", "5-6", "4 to 5", "6",
        "There are 6 circles, 5 of them red.", "15", "5.5", "the 5th", "2 and 3", "3 red and 2 blue", "<think>5",
        "about 4-5 circles", "I think 5, no, 6",
    ]),
    ("blind", _GRID, [
        "rows={7} columns={8}", "rows={8} columns={8}", "8 rows", "7 columns", "8 rows and 6 columns", "(7,8)",
        "7 rows, 8 columns", "8", "8 or 7", "rows={8} columns={6}\nThere are 7 columns", "8 rows and 7 or 8 columns",
    ]),
    ("blind", _TOUCH, [
        "Yes", "The circles are touching.", "Yes, they are not far apart.",
        "I cannot tell whether the circles are touching.", "They may not be touching.", "yes or no", "Yes/No",
        "not no", "It is unclear if the circles are touching", "Maybe",
    ]),
    ("blind", _TOUCH_YES, [
        "No", "The circles are not touching.", "They don't touch.", "Yes or no?", "I can't say yes", "not yes",
        "The circles might be touching.",
    ]),
    ("mathvista", _EVEN, [
        "No", "No, it is odd.", "B", "The function is not even.", "Yes or No", "I cannot tell", "not yes",
    ]),
    ("short_answer", _MASS, [
        "Yes", "There is a mass in the right lung.", "I cannot see whether there is a mass.", "not no",
        "Possibly no mass",
    ]),
    ("short_answer", _ORGAN, [
        "Spleen", "not the liver", "It is not the liver.", "liver or spleen", "The liver or the spleen",
        "The spleen is next to the liver", "e", "Liver? No, spleen.", "It could be the liver",
        "The answer is the spleen, not the liver.", "Liver\nNo wait, spleen",
    ]),
    ("relaxed_accuracy", _SALES, [
        "400", "300", "not 337.8", "337.8 or 400", "3378", "2020", "33.78", "between 300 and 340", "I cannot tell",
        "-337.8", "337.8-500",
    ]),
    ("relaxed_accuracy", _SHARE, [
        "1.4", "1400", "140%", "41%", "14 or 15", "0.014",
    ]),
    ("relaxed_accuracy", _YEAR, [
        "1999", "2000", "1998 or 1999", "1990s", "not 1998", "between 1998 and 2000",
    ]),
    ("relaxed_accuracy", _COUNTRY, [
        "France", "Belgium or France", "not Belgium", "Bel", "Belgium and France",
        "France had a higher value than Belgium", "It is not Belgium",
    ]),
    ("integer", _CARS, [
        "7 or 8", "3 + 4", "not 7", "at least 7", "2 vans and 8 cars", "There are 8 cars and 7 vans.", "7.5", "17",
        "around 7 to 9",
    ]),
    ("json_option", _ROCK, [
        '{"answer": "A"}', '{"answer": "A", "explanation": "not B"}', '{"answer": "A or B"}', '{"answer": ""}',
        '{"answer": null}', "{'answer': 'C', 'explanation': 'B is wrong'}",
    ]),
    ("math", _POINTS, [
        "(-4,0)", "(0,-2)", "(-2,0) or (0,2)", "-2", "-2, 0", "{-2, 0}",
    ]),
    ("math", asked("(1,2)"), [
        "1,2", "[1,2]", "{1,2}", "(2,1)", "(1,2,3)", "(1,3)", "12",
    ]),
    ("short_answer", asked("Lung, Liver", question="Which organs are in the image?"), [
        "Lung", "lung or liver", "lung, liver, spleen",
    ]),
    ("math", asked("[0,2)"), [
        "[0,2]", "(0,2)", "(0,2]", "0,2", "[0,3)",
    ]),
    ("math", asked("\\{1,2,3\\}"), [
        "{1,2}", "(1,2,3)", "{1,2,4}", "123",
    ]),
    ("math", asked("1,2"), [
        "1", "2", "x = 1", "1 or 3", "12", "1.2",
    ]),
    ("math", asked("8"), [
        "80", "\\boxed{80}", "not 8", "8 or 9", "\\boxed{8} or \\boxed{9}", "x \\neq 8", "8 million", "8x", "-8",
        "1/8", "8:1", "8!", "8^2", "0.8", "x > 8", "8, 9", "8 - 1", "18", "It is not 8.", "7.9", "\\sqrt{8}", "S_8",
        "8\\pi", "more than 8", "between 8 and 9", "8 plus 1", "the 8th", "x = 8 or x = 9", "8 dozen",
    ]),
    ("math", asked("1234"), [
        "12,34", "1.234", "1,2,3,4", "123", "1234567",
    ]),
    ("math", asked("-3"), [
        "3", "x = 3", "2-3", "- 3 or 3", "\\pm 3",
    ]),
    ("math", asked("1.5"), [
        "1", "11/2", "1 or 1/2", "1.6", "15", "1, 1/2",
    ]),
    ("substring", asked("12", question="What number is shown?"), [
        "4123", "120", "not 12", "13", "12 or 13",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "sample", "replies"), RIGHT, ids=lambda value: str(value)[:16])
def test_a_right_answer_is_read_however_it_is_written(metric: str, sample: Sample, replies: list[str]) -> None:
    assert [reply for reply in replies if judge(sample, reply, metric, "fair").value != 1] == []


@pytest.mark.parametrize(("metric", "sample", "replies"), WRONG, ids=lambda value: str(value)[:16])
def test_what_is_wrong_denied_or_left_open_is_no_point(metric: str, sample: Sample, replies: list[str]) -> None:
    assert [reply for reply in replies if judge(sample, reply, metric, "fair").value != 0] == []


def test_why_there_is_no_answer_is_a_value() -> None:
    said = {
        "": NoAnswer.EMPTY,
        "<think>B": NoAnswer.CUT,
        "A or B": NoAnswer.SEVERAL,
        "not B": NoAnswer.DENIED,
        "B, no, C": NoAnswer.RETRACTED,
        "I cannot tell.": NoAnswer.UNSURE,
        "Hm.": NoAnswer.UNSTATED,
    }
    assert {reply: judge(_COLOUR, reply, "option_letter", "fair").no_answer for reply in said} == said


_SAMPLES = [(metric, sample) for metric, sample, _ in RIGHT]
_PIECES = [
    *("Answer: ", "B", "(", ")", " or ", "not ", "**", "\n", "5", "8", ", ", ".", "=", "{", "}", "\\boxed{"),
    *(
        "the answer is ",
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "yes",
        "No",
        " rows",
        " columns",
        '{"answer": "',
        '"}',
    ),
    *("because ", "\\frac", "%", "I think "),
]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(_SAMPLES),
    st.one_of(st.text(max_size=40), st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)),
)
def test_every_text_has_a_verdict(asked: tuple[str, Sample], text: str) -> None:
    metric, sample = asked
    verdict = judge(sample, text, metric, "fair")
    assert verdict.value in (0.0, 1.0)
    assert verdict.no_answer is None or verdict.value == 0.0


_HOSTILE = [
    *("answer is ", "Answer: B ", "B or ", "so ", "{", "\\boxed{", "1, ", "rows 8 ", "not ", "yes ", "<think>", "="),
    *(
        "( ",
        ". ",
        "\n",
        "x = ",
        '"answer": ',
        "but ",
        "- ",
        "*",
        "I think ",
        "the ",
        "\\frac{1}",
        "is ",
        ": ",
        "a",
        "9",
    ),
]


@pytest.mark.parametrize("number", range(len(_HOSTILE)))
def test_hostile_replies_take_linear_time(number: int) -> None:
    part = _HOSTILE[number]
    text = part * (400_000 // len(part))
    for metric, sample in (_SAMPLES[number % len(_SAMPLES)], _SAMPLES[(7 * number + 3) % len(_SAMPLES)]):
        begin = time.process_time()
        judge(sample, text, metric, "fair")
        assert time.process_time() - begin < 4, metric


def test_every_metric_of_a_benchmark_has_a_fair_reading() -> None:
    assert [name for name in METRICS.bundled if METRICS.find(name).fair is None] == ["lmms"]
