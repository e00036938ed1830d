"""The compiled kernel. It is optional: where it cannot be built, the pure-Python kernel is used."""

import glob

from setuptools import Extension, setup

KERNEL = "src/recloser/kernel"

setup(
    ext_modules=[
        Extension(
            "recloser.kernel._kernel",
            [f"{KERNEL}/_kernel.c"],
            depends=sorted(glob.glob(f"{KERNEL}/*.h")),
            optional=True,
        )
    ]
)
