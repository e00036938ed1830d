"""Running the samples of the documentation, so that none of them can be wrong for long.

The convention is described in CONTRIBUTING.md, "Samples in the documentation".
"""

from testing.samples.page import Block, Page, SampleError, read_page
from testing.samples.runner import run_page

__all__ = ["Block", "Page", "SampleError", "read_page", "run_page"]
