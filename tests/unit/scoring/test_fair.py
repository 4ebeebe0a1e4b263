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
_BOOTS = asked("3", question="How many people are wearing boots?")
_EGGS = asked("24", question="How many eggs are there?")
_NO_CATS = asked("0", question="How many cats are in the photo?")
_GAP = asked("2.9", question="What is the difference in value between May and June?")
_PEAK = asked("2017", question="In which year did the number of guests peak?")
_KITE = asked("B", "The kite is red.", "The kite is white.", "The kite is blue.", question="What colour is the kite?")
_UMBRELLA = asked("A", "white", "black", "red", "blue", question="What is the color of the umbrella?")
_LENGTH = asked("5", question="Find the length of BC.")
_VERTEX = asked("(3,-2)", question="What is the vertex of the parabola?")
_MONTH = asked("May", question="In which month did sales increase?")
_IN_MAY = asked("Yes", question="Did sales increase in May?")
_SIDE = asked(
    "A", "On the left side", "On the right side", "Behind", question="Where is the bike relative to the bench?"
)
_ORDER = asked("B", "3 5 2 1 4", "4 5 3 1 2", "1 2 3 4 5", question="In which order do the pictures belong?")
_ANGLE = asked("C", "45", "90", "135", "180", question="Find the measure of angle A.")
_DIAGONAL = asked("D", "6", "\\frac{20}{3}", "3 \\sqrt 2", "6 \\sqrt 2", question="Find the diagonal.")
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
_FEWEST = asked("Apple", question="Which brand sold the fewest phones?")
_SECOND = asked("Germany", question="Which country ranks second?")
_PARKED = asked("B", "Red", "Blue", "Green", question="What color is the car parked in front of the shop?")
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
        "The blue one, B", "The blue one, B.", "The blue car, (B)", "It's the blue one, B.", "The blue one - B",
        "It could be red at first sight, but the paint is blue. (B)", "The one that could be meant is B.",
        "所以选择B。", "应选B项。", "选项B", "答案是B:车是蓝色的。", "By elimination, B.",
        "A, C and D are out, leaving B.",
        "It looks like B.", "While A is possible, the paint points to B.", "#### B",
    ]),
    ("option_letter", asked("B", question="Which car is the fastest?"), [
        "The car on the left, B", "It is the one in the middle, B.",
    ]),
    ("option_letter", _KITE, [
        "The kite is white.", "It's white", "white", "A white kite.", "The kite seems to be white.", "Only B matches.",
        "B is the only option that fits.", "B best describes it.", "The kite is white, not blue.",
    ]),
    ("option_letter", _SIDE, ["It stands near the bench, so A.", "on the left", "To the left of the bench.",
        "The bike is on the left of the bench."]),
    ("option_letter", _ORDER, ["4, 5, 3, 1, 2", "4 → 5 → 3 → 1 → 2", "4-5-3-1-2", "[4, 5, 3, 1, 2]"]),
    ("option_letter", asked("A", "[638 481]", "[643 397]", question="Where is the cap?"), ["(638, 481)", "[638, 481]"]),
    ("option_letter", _ANGLE, [
        "∠A = 180° − 45° = 135°", "$m\\angle A = 180 - 45 = 135$", "Angle B is 45, so angle A is 135.",
        "Since angle B is 45°, angle A is 135°.", "The measure of angle A is 135 degrees.",
    ]),
    ("option_letter", _DIAGONAL, [
        "The diagonal is 6√2 units.", "The side is 6, so the diagonal is 6√2.", "6\\sqrt{2} \\approx 8.49",
        "d = \\sqrt{72}",
    ]),
    ("option_letter", asked("B", *_DIAGONAL.choices), ["PT = 20/3 ≈ 6.67", "6\\frac{2}{3}", "PT = 40/6 = 20/3"]),
    ("option_letter", asked("D", "12", "21", "31", "32",
        question="Which number is on the door?"), ['The door reads "32".']),
    ("math", asked("B", *"ABCDE", question="Which picture shows the mirror image?"), [
        "Picture B shows the mirror image.", "The mirror image is shown in picture B.",
        "Option A is turned. Option B is the mirror image. Option C is turned.",
    ]),
    ("mathvista", asked("B", "(u1, u2) = (0, 0)", "(u1, u2) = (1, 0)"), ["(1, 0)", "$(u_1, u_2) = (1, 0)$"]),
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
        "They do not.", "The circles are apart.", "The circles are separate.", "Not overlapping, not touching.",
    ]),
    ("blind", _TOUCH_YES, [
        "Yes", "Yes, they touch at one point.", "The circles are touching.", "They touch each other.", "yes they do",
        "The two circles touch.",
        "Yes — no gap is visible.", "Yes; no space is left between them.", "They do.", "是的，两个圆相切。",
        "The circles are touching, no doubt.",
    ]),
    ("mathvista", _EVEN, [
        "Yes", "Yes, the function is even.", "A", "(A)", "The function is even.", "Yes, it is.", "Answer: yes",
        "The answer is Yes.",
    ]),
    ("short_answer", _MASS, [
        "No", "No, there is no mass.", "There is no mass in the right lung.", "no mass is seen", "No mass.",
        "There isn't a mass.",
        "A mass is not visible in the right lung.", "没有", "There is no doubt: no.",
    ]),
    ("short_answer", asked("No", question="Is the lung normal?"), [
        "The lung is abnormal.", "The lung looks abnormal.",
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
    ("math", asked("\\frac{1}{3}", question="What fraction of the figure is shaded?"), [
        "one third", "One-third", "1/3 of the figure is shaded.", "\\frac{1}{3} of the figure is shaded.",
    ]),
    ("relaxed_accuracy", asked("45", question="What is the value for Spain?"), [
        "Spain is 45, so France is 30.", "Spain's value is 45, thus above 30.", "France is 30, so Spain is 45.",
    ]),
    ("relaxed_accuracy", asked("2", question="How many bars are above 50?"), ["Of the 3 bars, 2 are above 50."]),
    ("math", asked("1,3,5", question="Which numbers are on the cards?"), ["The numbers are 1, 3 and 5."]),
    ("math", asked("2^{10}"), ["2¹⁰"]),
    ("math", asked("5.60"), ["US$5.60"]),
    ("relaxed_accuracy", asked("No", question="Is the red bar larger than the blue bar?"), [
        "The blue bar is larger.", "The red bar is smaller.", "The blue bar is larger than the red bar.",
        "The red bar is not larger than the blue bar.",
    ]),
    ("relaxed_accuracy", asked("Yes", question="Is the red bar larger than the blue bar?"), [
        "The red bar is larger.", "The blue bar is smaller than the red bar.",
        "The red bar is larger than the blue one.", "The red bar is larger, the blue one smaller.",
    ]),
    ("relaxed_accuracy", asked("Yes", question="Is the median of the bars greater than 30?"), [
        "The median is above 30.", "The median is 35, which is greater than 30.", "35 is greater than 30.",
    ]),
    ("mathvista", asked("A", "Yes", "No", question="Is the number of suvs less than the number of buses?"), [
        "1 is less than 2.", "There are fewer suvs than buses.",
    ]),
    ("integer", _NO_CATS, [
        "I see no cats, only 2 dogs.", "There are no cats here; 2 dogs are.", "None of the 3 animals are cats.",
    ]),
    ("math", asked("\\frac{1}{3}", question="What fraction of the figure is shaded?"), [
        "1/3 of the circle is shaded.",
    ]),
    ("integer", asked("2", question="How many cats are in the photo?"), [
        "There are no cats on the left, and 2 on the right.",
    ]),
    ("relaxed_accuracy", asked("Blue", question="Which color represents women?"), [
        "The color blue represents women.", "Women are represented by blue.", "Women are shown in blue.",
    ]),
    ("short_answer", asked("No", question="Are there abnormalities in this image?"), ["No abnormality.",
        "There aren't any."]),
    ("integer", asked("6", question="How many windows are there?"), ["3 rows of 2 windows, 6 in total."]),
    ("relaxed_accuracy", asked("45", question="What was the share of Spain in 2020?"), [
        "It rose from 38% in 2019 to 45% in 2020.", "It fell from 58 in 2019 to 45 in 2020.",
    ]),
    ("relaxed_accuracy", asked("France", question="Which country had the lowest value in 2015?"), [
        "In 2015, France had the lowest value.", "The lowest value in 2015 was recorded in France.",
    ]),
    ("mathvista", asked("4", question="How many objects are left?", answer_type="integer"), [
        "7 - 3 leaves 4.", "There were 7 objects; 4 objects are left.",
    ]),
    ("math", asked("16", question="How many triangles are there?"), ["There are 12 squares and 16 triangles."]),
    ("integer", asked("0", question="How many red cars are there?"), ["There are none, only 3 blue cars."]),
    ("option_letter", _COLOUR, ["选B，因为车是蓝色的。"]),
    ("blind", asked("1", question="How many times do the blue and red lines touch?"), [
        "The two lines touch once.", "These 2 lines touch one time.",
    ]),
    ("integer", asked("2", question="How many of the cows are lying?"), [
        "2 of the 5 cows are lying.", "Two out of five cows are lying.", "Of the five cows, two are lying.",
    ]),
    ("relaxed_accuracy", asked("74", question="What is the sum of good and very good?"), [
        "Good is 41% and very good is 33%, giving a total of 74%.", "Adding 41 and 33 gives 74.", "41% + 33% = 74%",
    ]),
    ("relaxed_accuracy", asked("No", question="Does the value ever exceed 50?"), ["It never exceeds 50."]),
    ("short_answer", asked("T2", question="Is this a T1 weighted or T2 weighted image?"), [
        "T2 weighted", "This is a T2-weighted MRI image.", "It is T2 weighted, not T1.",
    ]),
    ("short_answer", asked("Left", question="Which side of the lung is abnormal, left or right?"), [
        "left side", "The left side of the lung is abnormal.",
    ]),
    ("short_answer", asked("Pneumonia",
        question="What disease is shown?"), ["The findings are consistent with pneumonia."]),
    ("mathvista", asked("B", "increase", "decrease", "stay the same", question="What would happen to the frogs?"), [
        "They would decrease.", "The number of frogs would decrease.",
    ]),
    ("option_letter", asked("C", "Green", "Dark green", "Light blue", "Blue", question="What color is the boat?"), [
        "light-blue", "It's a light blue boat.",
    ]),
    ("math", asked("(3,-2)", question="Find the vertex."), ["The vertex is $(3, -2)$.", "vertex: (3, -2)", "V(3, -2)"]),
    ("math", asked("7:30", question="What time is it?"), ["The clock shows 7:30."]),
    ("math", asked("2\\sqrt{5}"), ["AB的长为$2\\sqrt{5}$。", "AB is $2\\sqrt{5}$ cm."]),
    ("blind", asked("e", question="Which letter is circled?", task="Circled Letter"), [
        "Lowercase e", "the first e", "字母e", "The lower-case letter e",
    ]),
    ("blind", asked("3,4", question="How many rows and columns?"), ["The table has 3 rows and 4 columns: (3, 4)"]),
    ("short_answer", asked("X-Ray", question="What type of medical image is this?"), [
        "x ray", "Xray", "X-ray image", "chest X-ray", "This is a chest X-ray.", "This is an X-ray image of the chest.",
        "X-ray, not CT.", "The image is a chest X-ray (PA view).",
    ]),
    ("short_answer", asked("Coronal Plane", question="What is the scanning plane?"), [
        "coronal", "coronal view", "The plane is coronal.", "It is a coronal plane image",
    ]),
    ("short_answer", asked("Upper Left Lobe", question="Where is the tumor?"), [
        "left upper lobe", "It is located in the upper left lobe of the brain.", "upper-left lobe",
    ]),
    ("short_answer", asked("Hyperdense", question="Is the abnormality hyperdense or hypodense?"), [
        "It appears hyperdense.", "Hyperdense, not hypodense.", "It is hyperdense compared with the tissue around it.",
        "hyper-dense",
    ]),
    ("short_answer", asked("2", question="How many kidneys are there?"), [
        "two", "Two kidneys", "There are two kidneys.", "2 kidneys", "Two (left and right)",
    ]),
    ("short_answer", asked("Heart, Spleen, Lung", question="Which organs are in the picture?"), [
        "1. Heart\n2. Spleen\n3. Lung", "- Lungs\n- Heart\n- Spleen", "The picture contains lung, heart, and spleen.",
    ]),
    ("short_answer", asked("Breathe", question="What does the main organ do?"), [
        "It helps to breathe.", "The lung is used to breathe.",
    ]),
    ("relaxed_accuracy", asked("March 2021", question="When did the page reach 2 million readers?"), [
        "Mar 2021", "March, 2021", "as of March 2021", "The page reached 2 million readers in **March 2021**.",
    ]),
    ("relaxed_accuracy", asked("2010/11", question="In which season was it highest?"), [
        "2010/2011", "2010–2011", "Between 2010 and 2011", "In the 2010/11 season", "2010-11",
    ]),
    ("relaxed_accuracy", asked("Yes", question="Is the median larger than the average?"), [
        "The median is larger than the average.", "Median 12, average 10, so the median is larger.", "True", "是的。",
    ]),
    ("relaxed_accuracy", asked("Belgium", question="Which country does the blue line represent?"), [
        "Blue: Belgium", "The blue line corresponds to Belgium.", "The blue line is Belgium, the red one is France.",
    ]),
    ("substring", asked("\\frac { a } { b } + c", dataset="HME100k"), [
        "\\frac{a}{b}+c", "$$\\frac{a}{b} + c$$", "The formula is: $\\frac{a}{b}+c$",
    ]),
    ("relaxed_accuracy", _COUNTRY, [
        "Belgium", "It is Belgium.", "Belgium had the highest value.", "The country is Belgium.",
        "Belgium, with 45 in 2020.",
    ]),
    ("integer", _CARS, [
        "7", "seven", "7 cars", "There are seven cars and 2 vans.", "3 + 4 = 7", "There are 7 cars: 3 red and 4 blue.",
        "3 red cars + 4 blue cars = 7 cars",
        "有7辆车。", "1. a red one\n2. a blue one\n3. five more\n\nAnswer: 7",
    ]),
    ("integer", _BOOTS, [
        "There are 5 people, 3 of whom are wearing boots.", "Of the 5 people, 3 are wearing boots.", "三", "三个人。",
        "There are 5 people in total, and 3 of them wear boots.", "I first counted 4, but there are actually 3.",
        "Four people are standing; three are wearing boots.", "图中有三个人穿着靴子。", "5 people, 3 of them in boots",
        "1. the man\n2. the woman\n3. the boy\n\nTotal: 3",
    ]),
    ("integer", _EGGS, [
        "twenty-four", "Twenty four eggs", "There are twenty-four eggs.", "two dozen", "2 dozen eggs", "4 x 6 = 24",
        "There are 4 rows with 6 eggs each, for a total of 24.",
    ]),
    ("integer", _NO_CATS, [
        "There are none.", "I don't see any cats in the photo.", "There are no cats; there are 2 dogs.",
        "None of the 3 pets.",
    ]),
    ("relaxed_accuracy", asked("0", question="How many bars are below 10?"), [
        "None", "There are no bars below 10.", "No bars", "None of the bars are below 10.",
    ]),
    ("relaxed_accuracy", _GAP, [
        "The value in May is 10.5 and in June it is 7.6, so the difference is 2.9.", "10.5 − 7.6 = 2.9",
        "The difference between May (10.5) and June (7.6) is **2.9**.", "Since May is 10.5 and June 7.6, it is 2.9.",
    ]),
    ("relaxed_accuracy", _PEAK, [
        "The number of guests peaked in 2017, with 253,000 guests.", "Guests peaked at 253,000 in 2017.",
    ]),
    ("relaxed_accuracy", asked("1.5", question="What is the ratio of A to B?"), ["3:2", "1.5:1", "3/2", "3 to 2"]),
    ("relaxed_accuracy", asked("-4.5", question="What was the growth?"), ["minus 4.5 percent", "–4.5 %", "−4.5"]),
    ("relaxed_accuracy", asked("50", question="How much was a ticket?"), ["fifty dollars", "票价为50美元。"]),
    ("mathvista", asked("0.17", question="What is the force? (Unit: N)", answer_type="float", precision="2.0"), [
        "F ≈ 0.169 N ≈ 0.17 N", "1.7 \\times 10^{-1} N", "The force is 3.4 N × 0.05 = 0.17 N.",
    ]),
    ("blind", asked("2", question="How many times do the lines cross?"), [
        "They cross twice: once on the left and once on the right.",
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
        "答案是8。", "面积是8。", "一共有8个三角形。", "8个", "8 厘米", "#### 8",
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
        "3⁄2",
    ]),
    ("math", asked("-3"), [
        "-3", "−3", "–3", "x = -3", "\\boxed{-3}", "－3", "minus 3",
        "x = –3",
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
    ("option_letter", _UMBRELLA, [
        "The umbrella is white.", "The color of the umbrella is white.", "The umbrella in the picture is white.",
        "A white umbrella", "The umbrella appears to be white.", "Step 3: The umbrella is white.",
        "The parasol is white.", "The woman is holding a white umbrella.", "She holds a white umbrella.",
        "The colour of the parasol is white.", "The woman has a white umbrella.",
        "The majority of the parasol is white.",
    ]),
    ("option_letter", _COLOUR, [
        "The vehicle is blue.", "The sedan is blue.", "Its paint is blue.", "The automobile appears blue.",
        "I see a blue car.",
        "The body of the car is blue.", "The car appears to be dark blue.", "The parked car is light blue.",
        "The car has a bright blue finish.", "The vehicle has a blue exterior.", "The exterior is blue.",
        "There is a blue sedan in the picture.", "The image shows a blue hatchback.", "The car is blue, near a house.",
    ]),
    ("option_letter", asked("C", "wood", "plastic", "metal", question="What is the chair made of?"), [
        "The chair looks like metal.", "The seat is made of metal.", "The furniture is metal.",
        "The material is metal.",
    ]),
    ("math", _LENGTH, ["BC is 5", "BC = 5", "AB is 4, so BC is 5", "CB = 5", "The length is 5.", "The side BC is 5."]),
    ("option_letter", _PARKED, [
        "The vehicle in front of the shop is blue.", "A blue car is parked there.",
        "The shop has a red door, and the car in front of it is blue.",
    ]),
    ("option_letter", asked("C", "wood", "plastic", "metal", question="What is the chair made of?"), [
        "The chair has a metal frame.", "It's a metal chair.",
    ]),
    ("option_letter", asked("A", "wood", "metal", question="What is the desk made of?"), ["It is a wooden desk."]),
    ("option_letter", asked("B", "90 degrees clockwise", "90 degrees counterclockwise", question="How is it turned?"), [
        "90° counterclockwise", "It should be turned 90 degrees counter-clockwise.",
    ]),
    ("option_letter", asked("B", "2", "3", "4", question="How many boats are there?"), [
        "There are three boats.", "#3",
    ]),
    ("integer", asked("3", question="How many animals are in the picture?"), ["3 dogs", "There are three cats."]),
    ("integer", asked("3", question="How many dogs are there?"), ["3 animals", "Dog number 2 is brown; there are 3."]),
    ("short_answer", asked("CT", question="What modality was used to take this image?"), [
        "CT was used.", "The image was taken with CT.", "Computed tomography (CT)",
    ]),
    ("short_answer", asked("Spleen", question="Which is larger, the spleen or the kidney?"), [
        "The spleen is larger than the kidney.", "The kidney is smaller than the spleen.",
    ]),
    ("short_answer", asked("Round", question="What is the shape of the mass?"), [
        "It has a round shape.", "Round-shaped",
    ]),
    ("relaxed_accuracy", _COUNTRY, [
        "Belgium leads with 400.", "The answer is Belgium, at 400.", "Belgium ranks first.",
    ]),
    ("relaxed_accuracy", _FEWEST, ["Apple sold the fewest phones.", "The fewest phones were sold by Apple."]),
    ("relaxed_accuracy", _SECOND, [
        "Germany, behind France.", "Germany comes second after France.", "Second place goes to Germany.",
        "France is first and Germany is second.",
    ]),
    ("relaxed_accuracy", asked("Exports", question="What does the blue line represent?"), [
        "The line stands for exports.", "It shows the exports over time.",
    ]),
    ("relaxed_accuracy", asked("37.5", question="What was the turnover in 2020?"), [
        "It was 37.5 million in 2020, compared with 31 million in 2019.", "٣٧٫٥", "Fue del 37,5 %.",
    ]),
    ("math", asked("50.02"), ["50,02", "The price is 50,02 €."]),
    ("math", asked("\\frac{3}{8}"), ["3 out of 8"]),
    ("math", asked("[0,2)"), ["$0 \\le x < 2$"]),
    ("math", asked("2.5", question="How long does it take?"), ["two and a half hours"]),
    ("substring", asked("x ^ { 2 } + 1", dataset="HME100k"), ["x^2+1"]),
    ("math", _VERTEX, ["vertex: (3,-2)", "The vertex is (3, -2)", "V(3,-2)"]),
    ("relaxed_accuracy", _MONTH, ["Sales increased in May", "In May."]),
    ("relaxed_accuracy", _IN_MAY, ["Sales increased in May.", "In May sales increased.", "Sales did increase in May."]),
    ("short_answer", asked("Liver", question="Which organ is shown?"), ["The picture contains the liver."]),
    ("short_answer", asked("Breathe", question="What is the function of the lung?"), ["Breathing", "breathing."]),
    ("relaxed_accuracy", asked("50.02", question="What is the price?"), ["50,02", "50,02 million", "about 50.02"]),
    ("integer", asked("2", question="How many animals are in the picture?"), ["2 dogs", "Two zebras are grazing."]),
    ("integer", asked("3", question="How many people are wearing boots?"), ["3 skiers", "Three riders wear boots."]),
    ("short_answer", asked("Yes", question="Is the lung normal?"), ["The organ is normal."]),
    ("short_answer", asked("Yes", question="Is the chest normal?"), ["The scan appears normal."]),
    ("relaxed_accuracy", asked("Yes", question="Is the median of green from 1993 to 1997 greater than 46?"), [
        "The median of green is 48, which is greater than 46.", "The median is greater than 46.",
    ]),
    ("option_letter", asked("A", "binds", "cuts", question="What does the DNA do?"), ["The TEM shows that it binds."]),
    ("relaxed_accuracy", asked("45%", question="What share of Republicans agrees?"), ["45% of Rep", "It is 45%."]),
    ("relaxed_accuracy", _SALES, ["According to Statista, it was 337.8.", "The World Bank says 337.8."]),
    ("integer", _CARS, ["7 vehicles", "There are 7 visible.", "I count 7 in total.", "7 parked cars", "seven"]),
    ("relaxed_accuracy", _SALES, ["Belgium: 337.8", "In 2020, it was 337.8.", "The value: 337.8"]),
    ("blind", _TOUCH_YES, ["Looking closely, the circles touch.", "It appears that the two circles touch."]),
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
        "between B and C", "The answer is B and D.", "Could be B", "It could be B.", "Might be B", "It may be B",
        "Maybe B", "Maybe it is B.", "Perhaps (B)", "The answer could be B.", "I am not sure, could be B",
        "The red one, B", "It could be the blue one, B", "Not the blue one, B", "The red or the blue one, B",
    ]),
    ("option_letter", asked("B", question="Which car is the fastest?"), [
        "The segment from A, B", "The letters are A, B", "Not the car on the left, B", "In the triangle, B",
    ]),
    ("option_letter", _KITE, [
        "The kite is red and white.", "The kite is not white.", "It could be white.", "The kite is blue.", "kite",
        "A kite",
        "Either B or C.", "Both B and C", "white or blue",
    ]),
    ("option_letter", _SIDE, ["on the right", "A bike", "on the left or on the right", "not on the left", "the side"]),
    ("option_letter", _ORDER, ["4 5 3", "4 5 3 2 1", "1, 2, 3, 4, 5", "45312 or 35214"]),
    ("option_letter", _ANGLE, [
        "180 - 135 = 45", "Angle A is 45 and angle B is 135.", "So angle A is 45.", "135 - 90 = 45", "A = 90",
        "135 + 45",
    ]),
    ("option_letter", asked("A", *_DIAGONAL.choices), ["6√2", "The diagonal is 6√2.", "6 \\sqrt{2}", "6 - 1 = 5"]),
    ("math", asked("A", *"ABCDE", question="Which picture shows the mirror image?"), [
        "Picture B shows the mirror image.", "Picture A does not show the mirror image.", "A mirror image",
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
    ("short_answer", asked("Yes", question="Is the lung normal?"), [
        "The lung is abnormal.", "The lung is not abnormal.",
    ]),
    ("mathvista", asked("A", "Yes", "No", question="Are there fewer red balls than blue cubes?"), [
        "There are more red balls.", "There are more red balls than blue cubes.",
    ]),
    ("relaxed_accuracy", asked("Yes", question="Is the red bar larger than the blue bar?"), [
        "The blue bar is larger.", "The larger bar is the blue one.", "The red bar is as large as the blue bar.",
        "The red bar is larger than the green bar.", "Red is shorter than blue.", "The blue bar exceeds the red bar.",
        "The red bar and the blue bar are equally large.", "Compared with the red bar, the blue bar is larger.",
        "The blue bar is larger than the red bar.", "The red bar is smaller.",
    ]),
    ("relaxed_accuracy", asked("No", question="Is the red bar larger than the blue bar?"), [
        "The blue bar is not larger than the red bar.", "The blue bar is smaller.", "The red bar is larger.",
    ]),
    ("short_answer", _MASS, ["There is almost certainly a mass in the right lung."]),
    ("relaxed_accuracy", asked("30", question="What is the value for Spain?"), [
        "Spain is 45, so France is 30.", "Since Spain has 45, France has 30.", "Spain's value is 45, thus above 30.",
    ]),
    ("relaxed_accuracy", asked("3", question="How many bars are above 50?"), ["Of the 3 bars, 2 are above 50."]),
    ("integer", asked("5", question="How many circles are there?"), ["5 of the 6 circles overlap."]),
    ("integer", asked("2", question="How many of the cows are lying?"), [
        "2 of the 5 cows are standing.", "2 of the 5 cows are not lying.",
    ]),
    ("integer", _NO_CATS, [
        "None of the three cats is black.", "No cats are black; there are 2.",
        "There are no cats on the left, and 2 on the right.", "The first row has no cats, the second has 2.",
    ]),
    ("blind", asked("2", question="How many times do the blue and red lines intersect?"), [
        "两条线不相交",
    ]),
    ("math", asked("\\frac{1}{3}", question="What fraction of the figure is shaded?"), [
        "1/3 of the figure is white.", "1/3 of the figure is not shaded.", "1/3 of the figure is unshaded.",
    ]),
    ("math", asked("B", *"ABCDE", question="Which picture shows the mirror image?"), [
        "Picture B shows no mirror image.",
    ]),
    ("option_letter", _COLOUR, [
        "B is the only one that is wrong.", "B is the only option that I can rule out.",
        "The car is red. It's next to a blue house.", "The car is red. Behind it the sky is blue.",
    ]),
    ("option_letter", asked("A", "The bike is on the left side of the bench.",
        "The bike is on the right side of the bench.", question="Is the bike left or right of the bench?"), [
        "The bench is on the left side of the bike.", "The bench is left of the bike.",
    ]),
    ("mathvista", asked("B", "increase", "decrease", "stay the same", question="What would happen to the frogs?"), [
        "The frogs would increase. The flies would decrease.", "The number of flies would decrease.",
    ]),
    ("relaxed_accuracy", asked("337.8", question="What was the value for Belgium in 2020?"), [
        "It rose from 120 in 2020 to 337.8 in 2021.",
    ]),
    ("relaxed_accuracy", _COUNTRY, ["In 2019, Belgium had the highest value."]),
    ("relaxed_accuracy", asked("Blue", question="Which color represents women?"), [
        "Women are shown in red. Men are shown in blue.", "Men are shown in blue.",
    ]),
    ("option_letter", asked("C", "Yes, at once", "Yes, later", "No", question="Can the arm reach the cup?"), [
        "No clear answer can be given.", "There is no option that is clearly right.",
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
    ("option_letter", _ANGLE, ["The other angle is 135, so angle A is 225."]),
    ("relaxed_accuracy", asked("Blue", question="Which color represents women?"), ["Blue represents men.",
        "Men: blue"]),
    ("math", asked("\\frac{1}{3}", question="What fraction of the figure is shaded?"), ["two thirds", "3", "30%"]),
    ("option_letter", _KITE, ["The sky is white.", "There is no white kite.", "The kite has a red tail."]),
    ("option_letter", asked("B", "30", "60", "90", "120"), ["x/2 = 60, x = 120", "60 + 30 = 90"]),
    ("relaxed_accuracy", asked("45", question="What was the share of Spain in 2020?"), [
        "It fell from 45% in 2019 to 38% in 2020.",
    ]),
    ("relaxed_accuracy", asked("France", question="Which country had the lowest value in 2015?"), [
        "France had the highest value in 2015.", "In 2015, France had the highest value.",
    ]),
    ("short_answer", asked("Yes", question="Is the left lung larger than the right lung?"), [
        "The right lung is larger than the left lung.", "The left lung is smaller than the right lung.",
    ]),
    ("math", asked("12", question="How many triangles are there?"), ["There are 12 squares and 16 triangles."]),
    ("blind", asked("2", question="How many times do the blue and red lines touch?"), [
        "The two lines touch once.", "The two lines never touch.", "The two lines do not touch.",
    ]),
    ("blind", _TOUCH_YES, [
        "The circles nearly touch each other.", "They almost touch.", "There is a gap between the circles.",
    ]),
    ("integer", asked("5", question="How many of the cows are lying?"), ["2 of the 5 cows are lying."]),
    ("relaxed_accuracy", asked("30.5", question="What is the average of the two highest bars?"), [
        "The two highest bars are 32 and 29.", "The average of 30.5 and 29 is 35.",
    ]),
    ("short_answer", asked("T2", question="Is this a T1 weighted or T2 weighted image?"), ["T1 weighted MRI",
        "weighted", "MRI"]),
    ("short_answer", asked("CT", question="What modality is this?"), ["CT and MRI", "CT or MRI", "MRI of the chest"]),
    ("blind", _TOUCH_YES, ["No, although it looks like yes at first."]),
    ("blind", asked("3,4", question="How many rows and columns?"), ["The table has 4 rows and 3 columns: (4, 3)"]),
    ("short_answer", asked("X-Ray", question="What type of medical image is this?"), [
        "image", "chest", "CT", "X-ray or CT", "It is not an X-ray.", "ray",
    ]),
    ("short_answer", asked("Coronal Plane", question="What is the scanning plane?"), ["plane", "axial plane", "view"]),
    ("short_answer", asked("Upper Left Lobe", question="Where is the tumor?"), ["left lobe", "upper right lobe",
        "lobe"]),
    ("short_answer", asked("2", question="How many kidneys are there?"), ["one", "two or three",
        "There is one kidney."]),
    ("relaxed_accuracy", asked("March 2021", question="When did the page reach 2 million readers?"), [
        "May 2021", "March", "2021", "March 2020", "in March 2021 or later",
    ]),
    ("relaxed_accuracy", asked("2010/11", question="In which season was it highest?"), ["2010", "2011/12", "2010/12"]),
    ("relaxed_accuracy", asked("No", question="Is the median larger than the average?"), [
        "The median is larger than the average.", "It may be larger.",
    ]),
    ("relaxed_accuracy", asked("Belgium", question="Which country does the blue line represent?"), [
        "The blue line is France, the red one is Belgium.", "Red: Belgium", "The blue line is next to Belgium.",
    ]),
    ("substring", asked("\\frac { a } { b } + c", dataset="HME100k"), [
        "\\frac{a}{b}-c", "\\frac{A}{b}+c", "\\frac{a}{b}+c+d",
    ]),
    ("relaxed_accuracy", _COUNTRY, [
        "France", "Belgium or France", "not Belgium", "Bel", "Belgium and France",
        "France had a higher value than Belgium", "It is not Belgium",
    ]),
    ("integer", _CARS, [
        "7 or 8", "3 + 4", "not 7", "at least 7", "2 vans and 8 cars", "There are 8 cars and 7 vans.", "7.5", "17",
        "around 7 to 9", "Could be 7", "Maybe 7", "There may be 7 cars", "It might be 7.",
    ]),
    ("integer", _BOOTS, [
        "There are 3 people, 2 of whom are wearing boots.", "Three people are standing; two are wearing boots.",
        "3 people, 2 of them in boots", "There are 3 people, but only 1 is wearing boots.", "thirty-three",
        "three dozen",
    ]),
    ("integer", _EGGS, ["twenty", "a dozen", "twenty-five", "4 rows with 6 eggs each", "half a dozen"]),
    ("integer", _NO_CATS, ["There are 2 cats and no dogs.", "no idea", "There are 2 cats."]),
    ("relaxed_accuracy", asked("10", question="How many bars are below 10?"), ["There are no bars below 10.", "None"]),
    ("relaxed_accuracy", asked("7.6", question=_GAP.question), [
        "The value in May is 10.5 and in June it is 7.6, so the difference is 2.9.", "10.5 - 7.6 = 2.9",
    ]),
    ("relaxed_accuracy", asked("253000", question=_PEAK.question), ["Guests peaked at 253,000 in 2017."]),
    ("blind", asked("1", question="How many times do the lines cross?"), [
        "more than once", "They cross twice: once on the left and once on the right.", "at least once",
    ]),
    ("json_option", _ROCK, [
        '{"answer": "A"}', '{"answer": "A", "explanation": "not B"}', '{"answer": "A or B"}', '{"answer": ""}',
        '{"answer": null}', "{'answer': 'C', 'explanation': 'B is wrong'}",
    ]),
    ("math", _POINTS, [
        "(-4,0)", "(0,-2)", "(-2,0) or (0,2)", "-2", "-2, 0", "{-2, 0}",
    ]),
    ("math", asked("4\\pi"), [
        "4\\pi - 6", "4\\pi + \\sqrt{2}",
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
        "8 - \\sqrt{2}", "8 + \\frac{1}{2}",
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
        "4123", "120", "12.5", "not 12", "13", "12 or 13",
    ]),
    ("option_letter", _UMBRELLA, [
        "The umbrella has a white handle.", "The handle of the umbrella is white.", "It has white dots.",
        "The umbrella is next to a white car.", "The umbrella is held by a man in white.",
        "The man wears a white shirt.",
        "It is B, but white is close.",
    ]),
    ("option_letter", asked("B", "4", "5", "6", question="Find BC."), ["AB is 5", "AB is 5, so BC is 4."]),
    ("math", _LENGTH, ["AB is 5, so BC is 4", "AB is 5.", "The radius is 5, the length 4.", "Perimeter: 5"]),
    ("mathvista", asked("5", question="What is the area?", answer_type="integer"), ["The perimeter is 5."]),
    ("option_letter", _PARKED, [
        "The truck is blue.", "The shop is blue.", "The car's plate is blue.", "A man in blue stands there.",
        "The car stands in front of a blue shop.", "Next to the car is a blue bench.",
        "The car behind it is blue, this one is red.",
    ]),
    ("option_letter", _SIDE, ["The bench is on the left side."]),
    ("mathvista", asked("B", "green", "red", question="Which bar is the tallest?"), ["The red bar is the shortest."]),
    ("integer", asked("3", question="How many cars are there?"), [
        "3 trucks", "There are three trucks.", "Number 3 is a car.", "There are 3 people and 5 cars.",
    ]),
    ("blind", asked("2", question="How many times do the lines cross?"), ["{1} or {2}"]),
    ("short_answer", asked("Yes", question="Is the lung normal?"), ["The liver is normal."]),
    ("short_answer", asked("White", question="What color is the tumor?"), [
        "The skull is white.", "The bone is white, the tumor is gray.", "It is next to the white area.",
    ]),
    ("short_answer", asked("Spleen", question="Which is larger, the spleen or the kidney?"), [
        "The kidney is larger than the spleen.", "The spleen is smaller than the kidney.",
    ]),
    ("relaxed_accuracy", _FEWEST, ["Apple sold the most phones.", "Sony sold fewer phones than Apple."]),
    ("relaxed_accuracy", _SECOND, ["Germany is first and France second.", "Germany ranks third."]),
    ("relaxed_accuracy", _COUNTRY, ["Belgium, behind France.", "France leads, ahead of Belgium."]),
    ("relaxed_accuracy", asked("Dark blue", question="What colour is the bar for 2015?"), [
        "The bar for 2016 is dark blue.", "The bar next to it is dark blue.",
    ]),
    ("relaxed_accuracy", asked("2009", question="When was it launched?"), ["Before 2009."]),
    ("relaxed_accuracy", asked("62", question="What percentage said yes?"), ["62 people were asked; 45% said yes."]),
    ("math", _VERTEX, ["focus: (3,-2)", "The focus is at (3,-2)."]),
    ("relaxed_accuracy", _MONTH, ["Sales increased in June", "Sales may increase in June"]),
    ("relaxed_accuracy", _IN_MAY, ["Sales increased in June.", "Sales may increase.", "In June sales increased."]),
    ("relaxed_accuracy", asked("Yes", question="Is the value of Favorable 38 in 2015?"), [
        "The value of Favorable is 40 in 2015.", "The value of Favorable was 38 in 2014.",
    ]),
    ("short_answer", _ORGAN, [
        "The picture contains the liver.", "It contains the liver", "The chest includes the liver",
    ]),
    ("relaxed_accuracy", asked("50.02", question="What is the price?"), ["50,025", "5,002", "50,03,02"]),
    ("relaxed_accuracy", _SALES, [
        "The value for France in 2020 was 337.8.", "In 2019 the value for Belgium was 337.8.", "France: 337.8",
        "337.8 for France", "It was below 337.8.", "Twice 337.8", "337.8 more than France",
        "At first 337.8 seems possible. So the answer is 2010/11.",
    ]),
    ("relaxed_accuracy", _COUNTRY, [
        "Belgium had the second highest value in 2020.", "Belgium had the highest value in 2019.",
    ]),
    ("blind", _TOUCH_YES, [
        "They are close to touching", "They stop just short of touching.",
    ]),
    ("option_letter", asked("B", "on the left", "on the right", question="Where is the dog relative to the car?"), [
        "The car is on the right of the dog.",
    ]),
    ("math", asked("8", question="What is the area of the square?"), [
        "The side is 8.", "8 is the perimeter", "The area is 16, the side 8", "The diagonal of the square is 8",
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


@settings(max_examples=60)
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
    text = part * (100_000 // len(part))
    for metric, sample in (_SAMPLES[number % len(_SAMPLES)], _SAMPLES[(7 * number + 3) % len(_SAMPLES)]):
        begin = time.process_time()
        judge(sample, text, metric, "fair")
        assert time.process_time() - begin < 4, metric


def test_every_metric_of_a_benchmark_has_a_fair_reading() -> None:
    assert [name for name in METRICS.bundled if METRICS.find(name).fair is None] == []
