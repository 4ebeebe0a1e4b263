"""The bundled pipelines, each an async function from a context to the observation's text."""

from maestro_eval.registry import Pipeline
from maestro_eval.skills.pipelines.ask import ask
from maestro_eval.skills.pipelines.classify import classify
from maestro_eval.skills.pipelines.code import code
from maestro_eval.skills.pipelines.code_rounds import code_rounds
from maestro_eval.skills.pipelines.direct import direct
from maestro_eval.skills.pipelines.dispatch import dispatch
from maestro_eval.skills.pipelines.steps import steps

__all__ = ["CODE", "CODE_ROUNDS", "ask", "classify", "direct", "dispatch", "steps"]

CODE = Pipeline(code, runs_code=True, whole_reply=True)
CODE_ROUNDS = Pipeline(code_rounds, runs_code=True)
