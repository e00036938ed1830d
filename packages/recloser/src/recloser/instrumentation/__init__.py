"""Circuit breakers for a program that is not edited: `recloser run -- python app.py`, or `recloser.instrument()`."""

from recloser.instrumentation.admin.folder import default_folder as admin_folder
from recloser.instrumentation.instrumentation import Instrumentation, instrument, uninstrument

__all__ = ["Instrumentation", "admin_folder", "instrument", "uninstrument"]
