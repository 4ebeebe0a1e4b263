from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from view_worlds import (
    AUGMENTED,
    BASE,
    EXPLORE,
    NASTY,
    TASK,
    hostile_run,
    manifest_of,
    rollout_of,
    samples_of,
    write_run,
)

from maestro_eval.analysis import compare
from maestro_eval.files import bundled
from maestro_eval.journal import Finished
from maestro_eval.registry import Service
from maestro_eval.scoring import score_run
from maestro_eval.skills import as_jpeg
from maestro_eval.skills.evidence import read_reply
from maestro_eval.tasks import TaskSpec, open_task
from maestro_eval.view import Library, Pictures, Site


def text(site: Site, path: str, query: str = "") -> str:
    answer = site.answer(path, query)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def test_the_list_shows_every_run_with_the_accuracy_of_the_table(site: Site, world: Path) -> None:
    page = text(site, "/")
    assert re.findall(r'href="/run/[a-z]+-[0-9a-f]{6}">(\w+)<', page) == [AUGMENTED, EXPLORE, BASE]
    (accuracy,) = (task.accuracy for task in compare([score_run(world / BASE)]).systems[0].tasks.values())
    assert f'<b class="num">{100 * accuracy.value:.1f}</b>' in page


@pytest.mark.parametrize("protocol", ["released", "official", "fair", "strict"])
def test_a_runs_numbers_are_those_of_the_table(site: Site, world: Path, ids: dict[str, str], protocol: str) -> None:
    page = text(site, f"/run/{ids[BASE]}", f"protocol={protocol}")
    (task,) = compare([score_run(world / BASE, protocol)]).systems[0].tasks.values()
    low, high = 100 * task.accuracy.low, 100 * task.accuracy.high
    assert f"{100 * task.accuracy.value:.1f}" in page
    assert f"[{low:.1f}, {high:.1f}]" in page


def test_what_went_wrong_leads_to_its_samples(site: Site, ids: dict[str, str]) -> None:
    page = text(site, f"/run/{ids[BASE]}")
    query = re.search(rf'/run/{ids[BASE]}/samples\?cause=[^"]+', page)
    assert query is not None
    assert "<h1>1 " in text(site, *query[0].replace("&amp;", "&").split("?"))


def test_a_rollout_tells_all_of_it(site: Site, ids: dict[str, str]) -> None:
    page = text(site, f"/run/{ids[AUGMENTED]}/rollout/1")
    for part in (
        "seer → Count_Things",
        "Who counts best?",
        "spotter",
        "I counted them twice",
        "The answer is",
        "wrong",
    ):
        assert part in page
    assert "characters of the reply were cut" in page
    assert page.count("<rect x=") == 2
    assert "--call counter@@Count_Things" in page.replace("&#39;", "'")
    assert "You route for augmented." in page


def test_a_wrong_answer_says_whose_doing_it_is(site: Site, ids: dict[str, str]) -> None:
    wrong = text(site, f"/run/{ids[AUGMENTED]}/rollout/1")
    assert "Whose doing: <b>expert</b>, no expert asked supplied it" in wrong
    assert "Whose doing" not in text(site, f"/run/{ids[AUGMENTED]}/rollout/0")


def test_a_rollout_names_who_else_got_the_sample_right(site: Site, ids: dict[str, str]) -> None:
    text(site, f"/run/{ids[EXPLORE]}")
    text(site, f"/run/{ids[BASE]}")
    page = text(site, f"/run/{ids[AUGMENTED]}/rollout/1")
    elsewhere = page[page.index("The same sample elsewhere") :]
    assert elsewhere.index("v-right") < elsewhere.index("fixed:seer@@Count_Things")


def test_pictures_are_had_by_hash_and_nothing_else_is(site: Site, library: Library, ids: dict[str, str]) -> None:
    library.begin_page()
    (line,) = library.index(library.get(ids[BASE])).lines([0])
    base = f"/run/{ids[BASE]}/rollout/0"
    for kind in ("picture", "thumbnail"):
        read = site.picture(f"{base}/{kind}/{line.image}")
        assert read is not None
        assert read().media_type in ("image/png", "image/jpeg")
    other = site.picture(f"{base}/picture/{'0' * 64}")
    assert other is not None
    assert other().status == 404
    assert site.picture(f"{base}/picture/../../../etc/passwd") is None
    assert site.asset("/assets/../site.py") is None


def test_a_picture_made_for_a_call_is_made_again(tmp_path: Path) -> None:
    """The expert was shown the spotter's drawing and a JPEG of the picture."""
    record, (sample, *_) = samples_of(tmp_path / "data")
    (image,) = open_task(TaskSpec(TASK, str(bundled("tasks")), record.data)).load(sample.sample_id).images
    spotter = Service(name="spotter", model="m", endpoint="e", request="?", kind="boxes")
    reply = rollout_of(sample, "1").calls[0].reply
    drawing = read_reply(spotter, image, reply, rescale=True).picture
    assert drawing is not None
    made = (drawing, as_jpeg(image))
    write_run(tmp_path / "run", manifest_of("x", [record]), [Finished(rollout_of(sample, "1", made=made), sample)])
    site = Site(Library([tmp_path / "run"], patience=20), Pictures())
    (base,) = set(re.findall(r"/run/[a-z0-9-]+", text(site, "/")))
    page = text(site, f"{base}/rollout/0")
    shas = re.findall(r'/picture/([0-9a-f]{64})"><img [^>]*made for this call', page)
    assert shas == [picture.ref.sha256 for picture in made]
    for sha in (*shas, "0" * 64):
        read = site.picture(f"{base}/rollout/0/picture/{sha}")
        assert read is not None
        assert hashlib.sha256(read().body).hexdigest() == sha or read().status == 404
    assert page.count("made for this call") == 4
    site.close()


def test_a_candidate_leads_to_its_samples(site: Site, ids: dict[str, str]) -> None:
    """The second candidate is right on everything and comes first."""
    page = text(site, f"/run/{ids[EXPLORE]}")
    (query, *_) = re.findall(rf'/run/{ids[EXPLORE]}/samples\?(repeat=\d)"', page)
    assert query == "repeat=1"
    assert "<h1>6 " in text(site, f"/run/{ids[EXPLORE]}/samples", query)


def test_the_comparison_counts_and_credits(site: Site, world: Path, ids: dict[str, str]) -> None:
    text(site, f"/run/{ids[EXPLORE]}")
    page = text(site, "/compare", f"run={ids[BASE]}&run={ids[AUGMENTED]}")
    shown = dict(re.findall(r"(both right|gained|lost|both wrong) <a[^>]*>(\d+)<", page))
    assert shown == {"both right": "3", "gained": "1", "lost": "0", "both wrong": "1"}
    assert "seer → Count_Things" in page
    assert "experts.seer" in page
    assert '<b class="num">1</b> of them a candidate was right' in page


def test_two_rollouts_side_by_side_mark_the_turns_that_differ(site: Site, ids: dict[str, str]) -> None:
    query = f"system={ids[AUGMENTED]}&rank=1&other={ids[BASE]}"
    page = text(site, "/compare/rollout", query)
    assert "counter → Count_Things" in page
    assert page.count("<b>differs</b>") == 2
    same = text(site, "/compare/rollout", query.replace("rank=1", "rank=0"))
    assert "<b>differs</b>" not in same


def test_a_registry_is_held_against_another(site: Site, ids: dict[str, str]) -> None:
    page = text(site, f"/run/{ids[AUGMENTED]}/registry", f"other={ids[BASE]}")
    assert "experts.seer" in page
    assert "You route for augmented." in page
    assert "Name the objects." in page


def test_the_way_up_is_the_page_of_the_table_that_one_came_from(
    site: Site, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_eval.view.filters.PER_PAGE", 2)
    page = text(site, f"/run/{ids[BASE]}/rollout/5", "sort=order")
    assert f'rel="up" href="/run/{ids[BASE]}/samples?page=3"' in page


def test_raw_is_the_record(site: Site, ids: dict[str, str]) -> None:
    record = json.loads(site.answer(f"/run/{ids[BASE]}/rollout/0/raw", "").body)
    assert record["rollout"]["key"]["sample_id"] == record["sample"]["sample_id"]
    assert len(record["scores"]) == 4


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/run/none-000000", ""),
        ("/run/../../etc", ""),
        ("/compare", "run=x"),
        ("/compare/rollout", "rank=1"),
        ("/elsewhere", ""),
    ],
)
def test_what_is_not_there_is_not_found(site: Site, path: str, query: str) -> None:
    assert site.answer(path, query).status == 404


@pytest.mark.parametrize("part", ["turns.9.text", "turns.0.calls.9.reply", "__class__", "turns.0.__class__", "", "key"])
def test_no_text_but_those_of_the_record(site: Site, ids: dict[str, str], part: str) -> None:
    assert site.answer(f"/run/{ids[BASE]}/rollout/0/text", f"part={part}").status == 404


def test_a_rollout_that_is_no_number_of_the_run_is_not_found(site: Site, ids: dict[str, str]) -> None:
    assert site.answer(f"/run/{ids[BASE]}/rollout/6", "").status == 404


class _Tags(HTMLParser):
    """Every element and attribute that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_hostile_texts_are_texts_on_every_page(tmp_path: Path) -> None:
    hostile_run(tmp_path, many=60, observation=100_000)
    library = Library([tmp_path], patience=20)
    site = Site(library, Pictures())
    (run,) = library.runs()
    base = f"/run/{run.id}"
    pages = ["/", base, f"{base}/samples", f"{base}/registry", *(f"{base}/rollout/{rank}" for rank in range(3))]
    for path in (*pages, f"{base}/rollout/1?turns_page=2"):
        page = text(site, *path.split("?"))
        tags = _Tags()
        tags.feed(page)
        assert page.count("<script") == 1, path
        assert not {name for name in tags.attributes if name.startswith("on")}, path
        assert not {"textarea", "iframe", "style", "object"} & tags.seen, path
        assert not re.search("[\x00\x1b\u202e]", page), path
        assert len(page) < 1_500_000, path
    whole = site.answer(f"{base}/rollout/0/text", "part=turns.0.observation")
    assert whole.media_type == "text/plain"
    assert whole.body.decode().startswith(NASTY[:50])
    assert len(whole.body) > 100_000
    library.close()
