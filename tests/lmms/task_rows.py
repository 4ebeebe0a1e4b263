"""One row of each of many lmms-eval tasks, in the schema that the task reads, with a right and a wrong reply.

``PICTURE`` stands for a picture, wherever a row has one. ``refused`` tasks are those whose scorer has no verdict on a
single sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PICTURE = "<picture>"
_OPTIONS = ["red", "blue", "green", "grey"]
_LETTERS = dict(zip("ABCD", _OPTIONS, strict=True))
_ASKED = {"image": PICTURE, "question": "Which colour is it?"}
_REVIEWED = [{"answer": "blue", "answer_confidence": "yes", "answer_id": number} for number in range(10)]
_MMBENCH = {**_ASKED, **_LETTERS, "hint": "none", "answer": "B", "category": "x", "L2-category": "y", "index": 1,
            "source": "s", "split": "dev"}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """``kind`` names the form of the answer."""

    task: str
    kind: str
    fields: dict[str, Any]
    right: str = "B"
    wrong: str = "C"
    refused: bool = False


ROWS = (
    Row("ai2d", "letter", {**_ASKED, "options": _OPTIONS, "answer": "1"}),
    Row("scienceqa_img", "letter", {**_ASKED, "hint": "", "choices": _OPTIONS, "answer": 1}),
    Row("mmstar", "letter", {**_ASKED, "answer": "B", "category": "math", "l2_category": "geometry", "index": 1}),
    Row("seedbench_2_plus", "letter", {**_ASKED, **{f"choice_{k}": v for k, v in _LETTERS.items()}, "answer": "B",
        "question_image_type": "Chart", "question_id": "q", "data_type": "Chart"}),
    Row("realworldqa", "letter", {**_ASKED, "answer": "B"}),
    Row("mmmu_val", "letter", {"question": "Which colour is <image 1>?", "options": str(_OPTIONS), "image_1": PICTURE,
        "question_type": "multiple-choice", "answer": "B", "id": "validation_Art_1"}),
    Row("mmmu_pro_standard", "letter", {"question": "Which is <image 1>?", "options": str(_OPTIONS), "image_1": PICTURE,
        "answer": "B", "id": "test_Art_1", "subject": "Art"}),
    Row("mmmu_pro_vision", "letter", {"image": PICTURE, "options": str(_OPTIONS), "answer": "B", "id": "test_Art_1",
        "subject": "Art"}),
    Row("mmvp", "letter", {"image": PICTURE, "Question": "Open?", "Options": "(a) Open (b) Closed",
        "Correct Answer": "(b)", "Index": 1}, "B", "A"),
    Row("cv_bench", "letter", {"image": PICTURE, "prompt": "Which? (A) red (B) blue", "choices": _OPTIONS,
        "answer": "(B)", "idx": 1, "type": "2D", "task": "Count", "source": "ADE20K"}),
    Row("blink_counting", "letter", {"image_1": PICTURE, "prompt": "How many?", "choices": _OPTIONS, "answer": "(B)",
        "idx": "val_1", "sub_task": "Counting"}),
    Row("mmt_val", "letter", {**_ASKED, **_LETTERS, "answer": "B", "l2-category": "x", "index": 1, "split": "VAL"}),
    Row("3dsrbench", "letter", {**_ASKED, **_LETTERS, "answer": "B", "index": 1, "category": "height_higher",
        "qid": "q"}),
    Row("VisualPuzzles_direct", "letter", {**_ASKED, "options": _OPTIONS, "answer": "B", "category": "Analogical"}),
    Row("crpe_relation", "letter", {"image": PICTURE, "text": "Which? A. red B. blue", "correct_option": "B",
        "category": "subject"}),
    Row("illusionvqa_comprehension", "letter", {**_ASKED, "options": _OPTIONS, "answer": "blue"}),
    Row("mmsi_bench", "letter", {"images": [PICTURE], "question": "Which? A: red, B: blue", "answer": "B",
        "question_type": "Motion (Obj.)", "id": 1}),
    Row("viewspatial", "letter", {"images": [PICTURE], "question": "Where?", "choices": "A. left\nB. right",
        "answer": "B. right", "question_type": "Camera perspective - Relative Direction"}),
    Row("vstar_bench", "letter", {"image": PICTURE, "text": "Which? (A) red (B) blue", "label": "B",
        "question_id": "q", "category": "direct_attributes"}),
    Row("erqa", "letter", {"images": [PICTURE], "question": "Which? A. red B. blue", "answer": "B", "question_id": "q",
        "question_type": "x", "visual_indices": [0]}),
    Row("geometry3k", "letter", {"images": [PICTURE], "problem": "Find x.", "choices": _OPTIONS, "ground_truth": "B"}),
    Row("embspatial", "letter", {**_ASKED, "answer_options": _OPTIONS, "answer": 1, "relation": "left",
        "data_source": "ai2thor", "question_id": "q"}),
    Row("qbench_dev", "letter", {**_ASKED, **{f"option{n}": v for n, v in enumerate(_OPTIONS)}, "correct_choice": "B",
        "id": "1", "question_concern": 1, "question_type": 1}),
    Row("muirbench", "letter", {"image_list": [PICTURE], "question": "Which is <image>?", "options": _OPTIONS,
        "answer": "B", "task": "Counting", "idx": "1", "image_relation": "x", "image_type": "y"}),
    Row("openxvqa", "letter", {**_ASKED, "choices": _OPTIONS, "correct_answer": "1"}),
    Row("omni_spatial", "letter", {**_ASKED, "options": _OPTIONS, "answer": "1", "task_type": "Complex_Logic",
        "sub_task_type": "x", "id": "1"}),
    Row("microvqa", "number of an option", {"images_list": [PICTURE], "question": "Which?", "choices": _OPTIONS,
        "correct_index": 1}, "The answer is (2).", "The answer is (3)."),
    Row("wm_abench_compositionality_maniskill_lift_subset", "letter", {"source": [PICTURE], "prompt": "Which? A B",
        "answer": "B", "image": PICTURE}),
    Row("mme", "yes or no, in pairs", {**_ASKED, "answer": "Yes", "category": "existence", "question_id": "q"},
        "Yes", "No"),
    Row("pope", "yes or no", {**_ASKED, "answer": "yes", "question_id": "1", "category": "random"}, "yes", "no"),
    Row("naturalbench", "yes or no", {"Image": PICTURE, "Question": "Is it?", "Question_Type": "yes_no",
        "Answer": "Yes", "Index": 0, "answer": "Yes"}, "Yes", "No"),
    Row("vlms_are_biased", "number", {"image": PICTURE, "prompt": "How many legs?", "ground_truth": "5",
        "expected_bias": "4", "topic": "Animals"}, "5", "4"),
    Row("countbench", "number", {**_ASKED, "number": 4}, "4", "5"),
    Row("countbenchqa", "number", {**_ASKED, "number": 4, "text": "four"}, "4", "5"),
    Row("pixmo_count", "number", {**_ASKED, "answer": "4"}, "4", "5"),
    Row("chartqa", "word or number", {**_ASKED, "answer": "14", "type": "human_test"}, "14", "20"),
    Row("zerobench", "word or number", {"question_id": "1", "question_text": "How many?", "question_answer": "14",
        "question_images_decoded": [PICTURE]}, "14", "20"),
    Row("vlmsareblind", "word or number", {"image": PICTURE, "prompt": "How many? Answer in {}.", "groundtruth": "4",
        "task": "Olympic Counting - Circles"}, "{4}", "{5}"),
    Row("docvqa_val", "text by edit distance", {**_ASKED, "answers": ["blue", "navy"], "questionId": "1", "docId": 1,
        "question_types": ["x"]}, "blue", "1234567"),
    Row("infovqa_val", "text by edit distance", {**_ASKED, "answers": ["blue"], "questionId": "1"}, "blue", "1234567"),
    Row("textvqa_val", "text by ten answers", {**_ASKED, "answers": ["blue"] * 10, "answer": "blue", "question_id": 1,
        "ocr_tokens": ["blue"]}, "blue", "red"),
    Row("vizwiz_vqa_val", "text by ten answers", {**_ASKED, "answers": ["blue"] * 10, "question_id": "1",
        "category": "other"}, "blue", "red"),
    Row("vqav2_val", "text by ten answers", {**_ASKED, "answers": _REVIEWED, "question_id": 1,
        "multiple_choice_answer": "blue", "question_type": "what", "answer_type": "other", "image_id": 1},
        "blue", "red"),
    Row("ok_vqa_val2014", "text by ten answers", {**_ASKED, "answers": ["blue"] * 10, "question_id": "1",
        "answer": "blue"}, "blue", "red"),
    Row("ocrbench", "text, counted out of a thousand", {**_ASKED, "answer": ["blue"], "dataset": "IIIT5K",
        "question_type": "Regular Text Recognition"}, "blue", "red"),
    Row("mathkangaroo", "letter or number", {"image": PICTURE, "question": "Which?", "ground_truth": "B"}),
    Row("refcoco_bbox_rec_val", "box by overlap", {"image": PICTURE, "answer": ["the sign"], "question_id": "1",
        "bbox": [8.0, 8.0, 24.0, 24.0]}, "[0.125, 0.166667, 0.5, 0.666667]", "[0.9, 0.9, 1.0, 1.0]"),
    Row("screenspot_rec_test", "box by overlap", {"image": PICTURE, "instruction": "the sign", "file_name": "f",
        "bbox": [0.1, 0.1, 0.5, 0.5], "data_type": "text", "data_source": "web"},
        "[0.1, 0.1, 0.5, 0.5]", "[0.9, 0.9, 1.0, 1.0]"),
    Row("textcaps_val", "caption", {"image": PICTURE, "question": "?", "caption_str": ["a red sign"], "image_id": "1",
        "question_id": "1"}, refused=True),
    Row("flickr30k_test", "caption", {"image": PICTURE, "caption": ["a red sign"], "img_id": "1", "sentids": ["1"]},
        refused=True),
    Row("coco2017_cap_val", "caption", {"image": PICTURE, "answer": ["a red sign"], "question_id": "1.jpg", "id": 1,
        "question": "?"}, refused=True),
    Row("ii-bench", "letter, for submission", {**_ASKED, **{f"option{n}": "x" for n in range(1, 7)}, "answer": "B",
        "id": "1"}, refused=True),
    Row("stvqa", "text, for submission", {**_ASKED, "answers": ["blue"], "question_id": "1"}, refused=True),
)  # fmt: skip
