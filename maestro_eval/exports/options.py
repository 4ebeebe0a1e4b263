"""The options of an export."""

from __future__ import annotations

import time

from msgspec import Struct, field

from maestro_eval.exports.privacy import Scrubber


class Options(Struct, frozen=True):
    """``allow_incomplete`` publishes an incomplete run, marked as such. ``with_targets`` includes the accepted answers,
    so that answers can be judged again. ``with_images`` embeds the images, read from the run's data. ``now`` is the
    time of the export in Unix seconds; ``scrubber`` removes private text.
    """

    allow_incomplete: bool = False
    with_targets: bool = False
    with_images: bool = False
    now: float = field(default_factory=time.time)
    scrubber: Scrubber = field(default_factory=Scrubber.of_environment)
