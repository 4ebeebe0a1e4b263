"""A release as a user has it, made here: its example Parquet in its schema, with a text of our own, and its tree."""

from itertools import accumulate
from pathlib import Path

from arro3.core import Array, DataType, Field, Schema, Table, list_array, struct_array
from arro3.io import write_parquet

TEXT, BYTES = DataType.string(), DataType.binary()
MESSAGE = DataType.struct([Field("role", TEXT), Field("content", TEXT)])
PICTURE = DataType.struct([Field("bytes", BYTES), Field("path", TEXT)])
SCHEMA = Schema(
    [
        Field("data_source", TEXT),
        Field("prompt", DataType.list(Field("element", MESSAGE))),
        Field("ability", TEXT),
        Field("images", DataType.list(Field("element", PICTURE))),
        Field("reward_model", DataType.struct([Field("ground_truth", DataType.list(Field("element", TEXT)))])),
        Field(
            "extra_info",
            DataType.struct(
                [Field("answer", TEXT), Field("index", DataType.int64()), Field("question", TEXT), Field("split", TEXT)]
            ),
        ),
    ]
)
SYSTEM = (
    "Ask with <search> glm-4.6v-flash@@Chart_Problem_Solver: … </search>, or Chart-R1.\n"
    "Skills: chart problem solver, Chart_Problem_Solver, counting-problem-solver.\n"
)


def row(question="How many?", *, system=SYSTEM, user=None, images=1, prompt=None, index=0):
    return {
        "data_source": "made",
        "prompt": prompt
        or [{"role": "system", "content": system}, {"role": "user", "content": user or f"Q: {question}\nBe brief.\n"}],
        "ability": "vqa",
        "images": [{"bytes": b"x", "path": None}] * images,
        "reward_model": {"ground_truth": ["4"]},
        "extra_info": {"answer": "4", "index": index, "question": question, "split": "test"},
    }


def write_release(file: Path, rows, leave_out=()) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    fields = [field for field in SCHEMA if field.name not in leave_out]
    columns = [arrow([each[field.name] for each in rows], field.type) for field in fields]
    write_parquet(Table.from_arrays(columns, schema=Schema(fields)), file)
    return file


def arrow(values, kind):
    """An array of nested values, which arro3 puts together only from its parts."""
    if DataType.is_list(kind):
        offsets = Array([0, *accumulate(map(len, values))], type=DataType.int32())
        return list_array(offsets, arrow([each for value in values for each in value], kind.value_type), type=kind)
    if DataType.is_struct(kind):
        parts = [arrow([value[field.name] for value in values], field.type) for field in kind.fields]
        return struct_array(parts, fields=kind.fields)
    return Array(values, type=kind)


def fake_release(root: Path, loader: str = "class Skill: ...\n", factory: str = "class SkillFactory: ...\n") -> Path:
    """A repository with the released skills' two modules, as the test writes them."""
    (root / "skills").mkdir(parents=True, exist_ok=True)
    (root / "skills" / "load_skills.py").write_text(loader)
    (root / "skills" / "factory.py").write_text(factory)
    return root
