"""The words of maestro-eval as frozen records: no I/O, no logic beyond their own invariants.

Standard library and msgspec only, so that every room, worker process and file format can share them.
"""

from maestro_eval.types.action import Action, AnswerAction, MalformedAction, Resolution, SearchAction
from maestro_eval.types.content import (
    Image,
    ImagePart,
    ImageRef,
    Message,
    Origin,
    Part,
    Role,
    TextPart,
)
from maestro_eval.types.errors import (
    FailureCause,
    MaestroError,
    RolloutFailure,
    SampleError,
    UserError,
)
from maestro_eval.types.manifest import (
    Accepted,
    Aggregation,
    Arm,
    EarlyStop,
    PromptRecord,
    RegistryRecord,
    RegistryVariant,
    Replay,
    RunManifest,
    Selection,
    Stopping,
    TaskRecord,
)
from maestro_eval.types.regime import Regime
from maestro_eval.types.rollout import (
    Answered,
    Completion,
    Exhausted,
    ExpertCall,
    Failed,
    Outcome,
    Rollout,
    RolloutKey,
    Sampling,
    Timing,
    Turn,
    Usage,
)
from maestro_eval.types.sample import LoadedSample, Sample
from maestro_eval.types.score import Protocol, Score

__all__ = [
    "Accepted",
    "Action",
    "Aggregation",
    "AnswerAction",
    "Answered",
    "Arm",
    "Completion",
    "EarlyStop",
    "Exhausted",
    "ExpertCall",
    "Failed",
    "FailureCause",
    "Image",
    "ImagePart",
    "ImageRef",
    "LoadedSample",
    "MaestroError",
    "MalformedAction",
    "Message",
    "Origin",
    "Outcome",
    "Part",
    "PromptRecord",
    "Protocol",
    "Regime",
    "RegistryRecord",
    "RegistryVariant",
    "Replay",
    "Resolution",
    "Role",
    "Rollout",
    "RolloutFailure",
    "RolloutKey",
    "RunManifest",
    "Sample",
    "SampleError",
    "Sampling",
    "Score",
    "SearchAction",
    "Selection",
    "Stopping",
    "TaskRecord",
    "TextPart",
    "Timing",
    "Turn",
    "Usage",
    "UserError",
]
