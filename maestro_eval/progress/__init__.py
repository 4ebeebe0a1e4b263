"""Show a run going on: live on a terminal, a plain line now and then elsewhere, as metrics on loopback, or not at all.

What is shown goes to standard error, so that a table on standard output can be piped.
"""

from maestro_eval.progress.watch import make_watcher

__all__ = ["make_watcher"]
