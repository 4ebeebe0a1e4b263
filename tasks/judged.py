"""``process_results`` for lmms-eval: a reply judged by our four protocols, each a metric of its name.

It needs maestro-eval beside lmms-eval, and imports it when the first reply is judged. What lmms-eval hands over is an
answer and not a rollout: the released protocol, which reads ``<answer>`` from all that a policy wrote, takes a reply
without that tag as if it stood within one.
"""

import functools
from pathlib import Path

_ANSWER = "<answer>"
_BY_ANSWER = ("official", "fair", "strict")


def mean_of_means(values):
    """The mean over the means of groups, of ``[value, group]`` for each sample."""
    groups = {}
    for value, group in values:
        groups.setdefault(group, []).append(value)
    return sum(sum(each) / len(each) for each in groups.values()) / len(groups)


def _judged_by(task):
    def process_results(doc, results):
        """The three verdicts on one reply; where the task takes a mean of means, each with its group."""
        return _verdicts(task, doc, results[0] or "")

    return process_results


chartqa = _judged_by("maestro_chartqa")
erqa = _judged_by("maestro_erqa")
geometry3k = _judged_by("maestro_geometry3k")
hrbench4k = _judged_by("maestro_hrbench4k")
hrbench8k = _judged_by("maestro_hrbench8k")
humanevalv = _judged_by("maestro_humanevalv")
mathvision = _judged_by("maestro_mathvision")
mathvision_testmini = _judged_by("maestro_mathvision_testmini")
mathvista = _judged_by("maestro_mathvista")
microvqa = _judged_by("maestro_microvqa")
msearthmcq = _judged_by("maestro_msearthmcq")
ocrbench = _judged_by("maestro_ocrbench")
slake = _judged_by("maestro_slake")
tallyqa = _judged_by("maestro_tallyqa")
vlmsareblind = _judged_by("maestro_vlmsareblind")
vstar = _judged_by("maestro_vstar")


def _verdicts(task, doc, reply):
    from maestro_eval.scoring import judge, judge_released
    from maestro_eval.tasks.file_task import describe

    definition = _definition(task)
    sample, problem = describe(definition, "", doc)
    if problem:
        raise ValueError(f"{task}: {problem}")
    verdicts = {protocol: judge(sample, reply, definition.metric, protocol) for protocol in _BY_ANSWER}
    verdicts["released"] = judge_released(sample, _transcript(reply), definition.released)
    unjudged = next((verdict.note for verdict in verdicts.values() if verdict.value is None), None)
    if unjudged is not None:
        # lmms-eval knows no value but numbers, and none of them says that nobody judged.
        raise RuntimeError(f"{task}: the reply could not be judged: {unjudged}")
    values = {protocol: verdict.value for protocol, verdict in verdicts.items()}
    if definition.aggregation == "mean":
        return values
    group = sample.category if definition.aggregation == "category_mean" else sample.stratum
    return {protocol: [value, group] for protocol, value in values.items()}


def _transcript(reply):
    return reply if _ANSWER in reply else f"{_ANSWER}{reply.rpartition('</think>')[2]}</answer>"


@functools.cache
def _definition(task):
    from maestro_eval.tasks import TaskSpec, define

    return define(TaskSpec(task, str(Path(__file__).parent)))
