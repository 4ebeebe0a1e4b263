"""Steps that build on each other."""

from maestro_eval.testing import Fault, on_requests
from tests.unit.skills.skill_worlds import drawn, run_skill

REPLIES = [
    "facts: <|im_end|> AB = 3\nAnswer: x",
    "fused facts\nAnswer: x",
    "solved\nAnswer: 4",
    "<think>5?</think>Answer: 5",
]


async def test_each_step_sees_the_evidence_the_images_and_the_earlier_replies(augmented):
    image = drawn()
    async with augmented(expert=REPLIES, ocr="AB = 3 printed") as w:
        result = await run_skill(w.context("Geometric_Problem_Solver", image))
        assert result.text == "Answer: 5"
        extract, fuse, solve, verify = w.cast.said_to("Intern-S1-mini")
        assert all("AB = 3 printed" in text for text in (extract, fuse, solve, verify))
        assert "facts:  AB = 3" in fuse
        assert "fused facts" in solve
        assert "solved" not in solve
        assert "fused facts" in verify
        assert "solved" in verify
        assert [call.images for call in result.calls if call.kind == "expert"] == [(image.ref.sha256,)] * 4


async def test_a_step_that_fails_ends_the_skill_and_keeps_the_calls(augmented):
    async with augmented(server={"faults": on_requests({4: Fault("status", 400)})}) as w:
        result = await run_skill(w.context("Geometric_Problem_Solver", drawn()))
        assert result.failure.cause == "expert"
        assert [call.kind for call in result.calls] == ["service", "service", "expert", "expert"]
