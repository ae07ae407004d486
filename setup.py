"""Builds what is compiled, the core in Rust, for the Python that builds; `make wheels` makes one for all of them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools_rust import Binding, RustExtension

# setuptools packs all that an earlier build left there, deleted modules included.
for left_over in Path(__file__).parent.glob("build/lib*"):
    shutil.rmtree(left_over)

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
