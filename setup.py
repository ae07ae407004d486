"""Builds what is compiled, the core in Rust, for the Python that builds; `make wheels` makes one for all of them."""

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
