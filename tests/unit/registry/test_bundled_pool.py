"""The bundled registries of the released pool hold what is known of it."""

import pytest

from maestro_eval.registry import EvidenceUse, check_registry, load_registry, resolve
from maestro_eval.skills.pipelines import mentions

PORTS = {
    "Intern-S1-mini": 2368, "GLM-4.6V-Flash": 2376, "qwen3-vl-8b-instruct": 2362, "Chart-R1": 2364,
    "medgemma-1.5-4b-it": 2369, "ocr": 2388, "zoom": 2370, "detection": 2389, "Qwen3.5-9B": 2381, "Step3-VL-10B": 2382,
}  # fmt: skip


@pytest.fixture(scope="module")
def base():
    return check_registry("base")


@pytest.fixture(scope="module")
def augmented():
    return check_registry("augmented")


def test_the_base_pool_is_complete(base):
    assert list(base.experts) == list(PORTS)[:5]
    assert set(base.services) == {"ocr", "caption", "detection", "zoom"}
    kinds = ("Geometric", "Chart", "Science", "Counting", "Perception")
    assert list(base.skills) == [f"{kind}_Problem_Solver" for kind in kinds]


def test_the_augmented_pool_is_the_base_pool_and_more(base, augmented):
    assert list(augmented.experts) == [*base.experts, "Qwen3.5-9B", "Step3-VL-10B"]
    more = ["Embodied_Scene_QA_Skill", "ocr_problem_solver", "Diagram_Reasoning_Skill", "Code_Problem_Solver"]
    assert list(augmented.skills) == [*base.skills, *more]
    assert all(augmented.skills[name] == base.skills[name] for name in base.skills)
    assert augmented.services == base.services


def test_every_model_is_at_its_released_port_and_says_how_to_serve_it(augmented):
    for name, entry in (augmented.experts | augmented.services).items():
        if name in PORTS:
            assert augmented.endpoints[entry.endpoint].url == f"http://127.0.0.1:{PORTS[name]}/v1"
            assert entry.serve.model.rpartition("/")[2].casefold() == entry.model.casefold()
    captioner = augmented.endpoints[augmented.services["caption"].endpoint]
    assert (captioner.url, captioner.api_key_env) == ("https://api.openai.com/v1", "OPENAI_API_KEY")


def test_sampling_is_the_released_one(augmented):
    for expert in augmented.experts.values():
        assert (expert.sampling.temperature, expert.sampling.top_p, expert.sampling.max_tokens) == (0.2, 1, None)
        place = augmented.endpoints[expert.endpoint]
        assert (place.timeout_s, place.max_tries) == (900, 2)
    assert augmented.services["ocr"].request == "Text Recognition:"
    assert augmented.services["ocr"].sampling.max_tokens == 4096
    assert {name: service.kind for name, service in augmented.services.items()} == {
        "ocr": "text", "caption": "text", "zoom": "region", "detection": "boxes"
    }  # fmt: skip


def test_skills_have_their_pipelines_steps_solvers_and_defaults(augmented):
    inside = {
        name: (skill.pipeline, [step.name for step in skill.steps] or sorted(skill.solvers), skill.default_solver)
        for name, skill in augmented.skills.items()
    }
    assert inside == {
        "Geometric_Problem_Solver": ("steps", ["extract", "fuse", "solve", "verify"], ""),
        "Chart_Problem_Solver": ("classify", ["bar", "line", "pie"], "bar"),
        "Science_Problem_Solver": ("ask", [], ""),
        "Counting_Problem_Solver": ("steps", ["list", "count"], ""),
        "Perception_Problem_Solver": ("ask", [], ""),
        "Embodied_Scene_QA_Skill": (
            "dispatch",
            ["action_adjustment", "multi_view", "pointing_localization", "spatial_mechanics", "trajectory_outcome"],
            "spatial_mechanics",
        ),
        "ocr_problem_solver": (
            "dispatch",
            ["document_chart_qa", "formula_recognition", "key_information", "scene_text_qa", "text_recognition"],
            "scene_text_qa",
        ),
        "Diagram_Reasoning_Skill": (
            "dispatch",
            ["contact_overlap", "grid_structure", "highlighted_character", "intersection_routes", "shape_counting"],
            "shape_counting",
        ),
        "Code_Problem_Solver": ("code", ["extract", "generate", "repair"], ""),
    }
    assert augmented.skills["Code_Problem_Solver"].options == {"repairs": 3}
    assert augmented.skills["Embodied_Scene_QA_Skill"].options["several_images"] == "multi_view"


def test_skills_consult_their_services(augmented):
    skills = augmented.skills
    first = EvidenceUse(service="zoom", images="first")
    assert skills["Geometric_Problem_Solver"].evidence == (EvidenceUse(service="ocr"), EvidenceUse(service="caption"))
    assert skills["Chart_Problem_Solver"].evidence == (EvidenceUse(service="ocr"),)
    assert skills["Science_Problem_Solver"].evidence == (
        EvidenceUse(service="ocr"),
        EvidenceUse(service="caption"),
        first,
    )
    assert skills["Counting_Problem_Solver"].evidence == (EvidenceUse(service="detection"), EvidenceUse(service="zoom"))
    assert skills["Perception_Problem_Solver"].evidence == (first,)
    assert skills["Code_Problem_Solver"].evidence == ()
    embodied = skills["Embodied_Scene_QA_Skill"].solvers
    assert "zoom" not in {use.service for use in embodied["multi_view"].evidence}
    assert "ocr" in {use.service for use in embodied["pointing_localization"].evidence}
    diagram = skills["Diagram_Reasoning_Skill"]
    assert {use.service for use in diagram.evidence} == {"zoom"}
    assert {use.service for use in diagram.solvers["highlighted_character"].evidence} == {"ocr", "zoom"}


def test_the_policys_spelling_and_the_released_one_both_name_the_counter(augmented):
    for written in ("qwen3-vl-8b-instruct", "qwen3-VL-8B-Instruct"):
        assert resolve(augmented, written, "Counting_Problem_Solver", "exact").expert == "qwen3-vl-8b-instruct"
    assert resolve(augmented, "Qwen3.5-9b", "OCR_Problem_Solver", "lenient").skill == "ocr_problem_solver"


def test_no_template_is_shared_by_mistake(augmented):
    texts = {
        (name, part.name): part.prompt
        for name, skill in augmented.skills.items()
        for part in (*skill.steps, *skill.solvers.values())
    }
    assert len(texts) == 9 + 3 + 15
    assert len(set(texts.values())) == len(texts)
    assert load_registry("augmented").hash == augmented.hash


@pytest.mark.parametrize(
    ("skill", "question", "solver"),
    [
        ("Diagram_Reasoning_Skill", "How often do the red and the blue line touch?", "intersection_routes"),
        ("Diagram_Reasoning_Skill", "How many one-coloured paths join A and C?", "intersection_routes"),
        ("Diagram_Reasoning_Skill", "Do both circles overlap?", "contact_overlap"),
        ("Diagram_Reasoning_Skill", "Which letter has a red oval around it?", "highlighted_character"),
        ("Diagram_Reasoning_Skill", "Rows and columns of the table?", "grid_structure"),
        ("Diagram_Reasoning_Skill", "How many pentagons are there?", "shape_counting"),
        ("ocr_problem_solver", "Give the expression of the formula as LaTeX.", "formula_recognition"),
        ("ocr_problem_solver", "What is written in the image?", "text_recognition"),
        ("ocr_problem_solver", "The total of this receipt?", "key_information"),
        ("ocr_problem_solver", "What percentage does the infographic give?", "document_chart_qa"),
        ("ocr_problem_solver", "Who wrote this book?", "scene_text_qa"),
        ("Embodied_Scene_QA_Skill", "What happens if the gripper follows the line?", "trajectory_outcome"),
        ("Embodied_Scene_QA_Skill", "Which of the points is nearest?", "pointing_localization"),
        ("Embodied_Scene_QA_Skill", "Where is the cup of the first image in the second image?", "multi_view"),
        ("Embodied_Scene_QA_Skill", "How should the arm turn to lift the mug?", "action_adjustment"),
        ("Embodied_Scene_QA_Skill", "Is the drawer empty?", "spatial_mechanics"),
    ],
)
def test_keywords_lead_a_question_of_each_kind_to_its_solver(augmented, skill, question, solver):
    entry = augmented.skills[skill]
    found = (name for name, solver in entry.solvers.items() if mentions(question, solver.keywords))
    assert next(found, entry.default_solver) == solver
