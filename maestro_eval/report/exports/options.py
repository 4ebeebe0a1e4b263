"""What an export may be asked for beside its format."""

from __future__ import annotations

import time

from msgspec import Struct, field

from maestro_eval.report.exports.privacy import Scrubber


class Options(Struct, frozen=True):
    """``allow_incomplete``: publish a run of which something is missing, and say so in what is published.
    ``with_targets``: give the accepted answers, so that verdicts can be judged again. ``with_images``: embed the
    images, read again from the run's data. ``now`` is Unix seconds, ``scrubber`` takes out what is not public.
    """

    allow_incomplete: bool = False
    with_targets: bool = False
    with_images: bool = False
    now: float = field(default_factory=time.time)
    scrubber: Scrubber = field(default_factory=Scrubber.of_environment)
