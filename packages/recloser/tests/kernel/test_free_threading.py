"""On a free-threaded build the compiled kernel leaves the GIL off."""

import subprocess
import sys
import sysconfig

import pytest
from packages.recloser.tests.kernel.twins import needs_compiled


@needs_compiled
@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this build always has the GIL")
def test_import_leaves_the_gil_off() -> None:
    script = "import sys, recloser; print(recloser.kernel_name(), sys._is_gil_enabled())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["c", "False"]
