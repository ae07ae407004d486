"""Builds the compiled core; everything else about the package stands in `pyproject.toml`."""

from setuptools import setup
from setuptools_rust import Binding, RustExtension

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
)
