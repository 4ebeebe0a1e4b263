"""Small CPU experts behind a real server, and generated mini benchmarks, for use without GPUs or data.

Experts are called over HTTP like any other (``python -m maestro_eval.embedded.server``); of our rooms this one imports
only ``maestro_eval.records`` and ``maestro_eval.files``.
"""
