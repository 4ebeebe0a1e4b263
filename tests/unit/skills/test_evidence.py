"""Evidence: what is asked, when, and what comes of the replies."""

import asyncio

import pytest
from msgspec.structs import replace

from maestro_eval.records import Image, ImageRef, MissingEvidence
from maestro_eval.registry import EvidenceUse
from maestro_eval.skills.evidence import EvidenceCache, Gathering
from maestro_eval.testing import Fault, Latency, always
from tests.unit.skills.skill_worlds import drawn, pixels_of, run_skill

FIRST, SECOND, THIRD = drawn(seed=1), drawn(seed=2), drawn(seed=3)
RED = (192, 0, 0)
PROPOSED = '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [120, 60, 160, 80]}}'
DETECTED = '[{"bbox_2d": [10, 20, 60, 70], "label": "cat"}, {"bbox_2d": [100, 20, 400, 70], "label": "dog"}]'
OCR, ZOOM, DETECTION = EvidenceUse(service="ocr"), EvidenceUse(service="zoom"), EvidenceUse(service="detection")


@pytest.mark.parametrize(
    ("use", "images"),
    [
        (EvidenceUse(service="ocr"), [1, 2, 3]),
        (EvidenceUse(service="ocr", images="first"), [1]),
        (EvidenceUse(service="ocr", limit=2), [1, 2]),
        (EvidenceUse(service="ocr", limit=9), [1, 2, 3]),
        (EvidenceUse(service="ocr", images="first", limit=2), [1]),
    ],
)
async def test_a_use_says_which_images_are_asked_about(augmented, use, images):
    async with augmented() as w:
        gathered = await w.cache.gather([use], [FIRST, SECOND, THIRD])
        assert [piece.image for piece in gathered.evidence] == images
        hashes = [(FIRST, SECOND, THIRD)[number - 1].ref.sha256 for number in images]
        assert [call.images for call in gathered.calls] == [(sha256,) for sha256 in hashes]


async def test_without_images_nothing_is_asked(augmented):
    async with augmented() as w:
        assert await w.cache.gather([OCR, ZOOM], []) == Gathering()


async def test_two_that_gather_at_once_fetch_once(augmented):
    async with augmented(server={"latency": Latency(base_s=0.1)}) as w:
        both = await asyncio.gather(*(w.cache.gather([OCR, ZOOM], [FIRST, SECOND]) for _ in range(3)))
        assert len(w.server.requests) == 4
        assert sum(len(gathered.calls) for gathered in both) == 4
        assert len({gathered.evidence for gathered in both}) == 1


async def test_one_that_is_cancelled_leaves_the_fetching_to_the_other(augmented):
    async with augmented(ocr="EXIT", server={"latency": Latency(base_s=0.1)}) as w:
        first = asyncio.create_task(w.cache.gather([OCR], [FIRST]))
        second = asyncio.create_task(w.cache.gather([OCR], [FIRST]))
        await asyncio.sleep(0.03)
        first.cancel()
        assert [piece.text for piece in (await second).evidence] == ["EXIT"]


async def test_original_bytes_pass_through(augmented):
    photo = drawn(300, 200, file_type="JPEG")
    async with augmented() as w:
        await w.cache.gather([OCR], [photo])
        assert w.cast.heard[0].data == (photo.data,)


async def test_the_question_is_put_to_a_service_that_asks_for_it(augmented):
    async with augmented() as w:
        await w.cache.gather([ZOOM], [FIRST], question="Which {{ sign }} is blue?")
        assert "Which {{ sign }} is blue?" in w.cast.heard[0].text


# Kinds


async def test_a_proposed_region_becomes_a_crop(augmented):
    async with augmented(zoom=PROPOSED) as w:
        (piece,) = (await w.cache.gather([ZOOM], [FIRST])).evidence
        assert pixels_of(piece.picture).getcolors() == [(40 * 28, RED)]  # 20 pixels high, widened to 28
        assert piece.text == "A close-up of the part (120, 60) to (160, 80) of 280 × 140 pixels. See image 2."


async def test_a_region_is_carried_over_to_the_original_unless_the_regime_says_no(augmented):
    # 1000 × 500 is seen as 1008 × 504, of which the red square takes (404, 202) to (604, 302).
    page = drawn(1000, 500)
    async with augmented(zoom='{"bbox_2d": [504, 252, 1008, 504]}') as w:
        (right,) = (await w.cache.gather([ZOOM], [page])).evidence
        as_seen = EvidenceCache(w.registry, w.client, None, zoom_rescale=False)
        (wrong,) = (await as_seen.gather([ZOOM], [page])).evidence
        assert "(500, 250) to (1000, 500) of" in right.text
        assert "(504, 252) to (1000, 500) of" in wrong.text
        assert right.picture.ref.width == 500


async def test_detected_boxes_become_a_list_and_a_drawing(augmented):
    async with augmented(detection=DETECTED) as w:
        (piece,) = (await w.cache.gather([DETECTION], [FIRST])).evidence
        assert "1. cat: (10, 20) to (60, 70)\n2. dog: (100, 20) to (280, 70)" in piece.text
        assert piece.text.endswith("See image 2.")
        picture = pixels_of(piece.picture)
        assert picture.size == (280, 140)
        assert picture.getpixel((10, 60)) != pixels_of(FIRST).getpixel((10, 60))


async def test_nothing_detected_is_evidence_too(augmented):
    async with augmented(detection="[]") as w:
        gathered = await w.cache.gather([DETECTION], [FIRST])
        assert [(piece.text, piece.picture) for piece in gathered.evidence] == [("No object was found.", None)]
        assert gathered.missing == []


async def test_pictures_are_numbered_after_the_originals_and_each_once(augmented):
    async with augmented(zoom=PROPOSED, detection=DETECTED) as w:
        gathered = await w.cache.gather([ZOOM, DETECTION], [FIRST, FIRST, SECOND])
        shown = [(piece.service, piece.image, piece.text[-12:]) for piece in gathered.evidence]
        assert shown == [
            ("zoom", 1, "See image 4."),
            ("zoom", 2, "See image 4."),
            ("zoom", 3, "See image 4."),  # the same red pixels
            ("detection", 1, "See image 5."),
            ("detection", 2, "See image 5."),
            ("detection", 3, "See image 6."),
        ]
        context = w.context("Perception_Problem_Solver", FIRST, FIRST, SECOND)
        pictures = [gathered.evidence[0].picture, gathered.evidence[3].picture, gathered.evidence[5].picture]
        assert context.shown(gathered.evidence) == (FIRST, FIRST, SECOND, *pictures)


# What is missing


@pytest.mark.parametrize(
    ("service", "reply", "why"),
    [
        ("zoom", "I see no need to.", "no JSON box in the reply"),
        ("zoom", "[]", "no box was proposed"),
        ("zoom", '{"bbox_2d": [50, 50, 50, 90]}', "rejected: the box is empty, inverted or outside the image"),
        ("zoom", '{"bbox_2d": [90, 90, 50, 50]}', "rejected: the box is empty, inverted or outside the image"),
        ("detection", "{{{{", "no JSON box in the reply"),
        ("ocr", " \n", "the reply is empty"),
    ],
)
async def test_a_reply_that_holds_no_evidence_is_noted(augmented, service, reply, why):
    async with augmented(**{service: reply}) as w:
        gathered = await w.cache.gather([EvidenceUse(service=service)], [FIRST])
        assert gathered.evidence == ()
        assert gathered.missing == [MissingEvidence(service, 1, why)]
        assert gathered.failure is None


async def test_an_image_that_cannot_be_cropped_is_noted(augmented):
    broken = Image(ImageRef("0" * 64, "image/png", 280, 140, 3), b"???")
    async with augmented(zoom=PROPOSED) as w:
        (lack,) = (await w.cache.gather([ZOOM], [broken])).missing
        assert str(lack).startswith("service zoom missing for image 1: cannot be decoded: ")
        assert lack.fault is None


async def test_a_service_that_is_down_is_asked_once_a_rollout_and_noted_each_time(augmented):
    async with augmented(server={"faults": always(Fault("status", 503))}) as w:
        for _ in range(2):
            (lack,) = (await w.cache.gather([OCR], [FIRST])).missing
            assert str(lack).startswith("service ocr missing for image 1: http 503")
            assert (lack.fault.kind, lack.fault.status, lack.fault.retriable) == ("http", 503, True)
        assert len(w.server.requests) == 1


async def test_a_service_that_is_not_optional_fails_the_gathering_when_it_is_down(augmented):
    async with augmented(server={"faults": always(Fault("status", 503))}) as w:
        required = w.registry.services["ocr"].model_copy(update={"optional": False})
        registry = replace(w.registry, services={**w.registry.services, "ocr": required})
        gathered = await EvidenceCache(registry, w.client, None).gather([OCR, ZOOM], [FIRST])
        failure, call = gathered.failure, gathered.calls[0]
        assert (failure.cause, failure.detail, failure.fault) == ("service", f"ocr: {call.error}", call.fault)
        assert len(gathered.calls) == 2


async def test_a_skill_whose_required_service_is_down_fails_before_the_expert_is_asked(augmented):
    async with augmented(server={"faults": always(Fault("status", 503))}) as w:
        required = w.registry.services["zoom"].model_copy(update={"optional": False})
        registry = replace(w.registry, services={**w.registry.services, "zoom": required})
        cache = EvidenceCache(registry, w.client, None)
        result = await run_skill(w.context("Perception_Problem_Solver", FIRST, cache=cache))
        assert result.failure.cause == "service"
        assert result.failure.detail.startswith("zoom: http 503")
        assert [call.name for call in result.calls] == ["zoom"]
        assert str(result.missing[0]).startswith("service zoom missing for image 1: http 503")


async def test_a_long_page_is_cut_from_its_middle(augmented):
    async with augmented(caption="a" * 50_000 + "z") as w:
        (piece,) = (await w.cache.gather([EvidenceUse(service="caption")], [FIRST])).evidence
        assert len(piece.text) < 17_000
        assert piece.text.endswith("z")
