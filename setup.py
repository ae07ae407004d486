"""Builds what is compiled: the core in Rust, and the benchmarks' helpers in Cython; all else is in `pyproject.toml`."""

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools_rust import Binding, RustExtension

CYTHON = ("benchmarks.drawing", "benchmarks.floor", "benchmarks.baselines.cython_table")

setup(
    rust_extensions=[
        RustExtension(
            "fanout._core",
            "core_ext/Cargo.toml",
            binding=Binding.PyO3,
            features=["extension-module"],
            args=["--locked"],
            debug=False,
        ),
    ],
    ext_modules=cythonize(
        [Extension(name, [f"{name.replace('.', '/')}.pyx"], extra_compile_args=["-O3"]) for name in CYTHON],
        build_dir="build/cython",
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True},
    ),
)
