"""Small CPU experts behind a real server, and generated mini benchmarks, for use without GPUs or data.

Experts are reached over HTTP like any other (``python -m maestro_eval.embedded.server``); this room imports
nothing of ours but ``maestro_eval.records`` and ``maestro_eval.files``.
"""
