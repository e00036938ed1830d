"""The compiled kernel. It is optional: where it cannot be built, the pure-Python kernel is used."""

from setuptools import Extension, setup

KERNEL = "src/recloser/kernel"

setup(
    ext_modules=[
        Extension(
            "recloser.kernel._kernel",
            [f"{KERNEL}/_kernel.c"],
            depends=[f"{KERNEL}/{name}.h" for name in ("common", "window", "counters", "protected", "call")],
            optional=True,
        )
    ]
)
