"""Shows a run in progress: live on a terminal, as occasional lines elsewhere, as metrics on loopback, or not at all.

The display goes to standard error, so that a table on standard output can be piped.
"""

from maestro_eval.progress.watch import make_watcher

__all__ = ["make_watcher"]
