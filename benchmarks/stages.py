"""What a run of several measurements tells whoever watches."""

from collections.abc import Callable

from benchmarks.apart import Progress

Stages = Callable[[str], Progress]
"""Takes the title of the next stage, and gives what is told how far it is: 1 when it has ended."""
