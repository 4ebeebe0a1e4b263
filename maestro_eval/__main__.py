"""``python -m maestro_eval`` is ``maestro-eval``."""

import sys

from maestro_eval.cli.main import main

sys.exit(main())
