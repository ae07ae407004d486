"""Compiles the benchmarks' helpers in Cython; all else is in `pyproject.toml`."""

import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CYTHON = ("benchmarks.floor", "benchmarks.baselines.cython_table")
TREE = Path("../..")
GENERATED = "build/cython/in/tree"
"""Cython adds each source's path to it, the two steps up to the tree included."""

# setuptools packs all that an earlier build left there, deleted modules included.
for left_over in Path(__file__).parent.glob("build/lib*"):
    shutil.rmtree(left_over)

setup(
    ext_modules=cythonize(
        [Extension(name, [str(TREE / f"{name.replace('.', '/')}.pyx")], extra_compile_args=["-O3"]) for name in CYTHON],
        build_dir=GENERATED,
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True},
    ),
)
