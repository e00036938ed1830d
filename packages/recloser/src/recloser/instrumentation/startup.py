"""What happens in a process of a program under `recloser run` when it imports the first client."""

from __future__ import annotations

import logging
import os

from recloser.instrumentation.instrumentation import instrument
from recloser.instrumentation.options import from_environment

logger = logging.getLogger("recloser")


def begin() -> None:
    """Instrument this process as `recloser run` was told to. An error is logged, and the program runs without."""
    try:
        options = from_environment(os.environ)
        instrument(
            options.config,
            observe_only=options.observe_only,
            admin_folder=options.admin_folder,
            metrics_port=options.metrics_port,
            metrics_host=options.metrics_host,
            report=options.report,
            run=options.pid,
        )
    except Exception:  # whatever it was: the program must run
        logger.exception("this process is not protected")
