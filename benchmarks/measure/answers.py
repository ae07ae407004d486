"""What a table answers, as a digest to compare."""

import hashlib
from typing import Final

from benchmarks.population import Population
from benchmarks.tables import Table

_SAMPLED_CHANNELS: Final = 20


def digest_of_answers(table: Table, population: Population) -> str:
    """Equal for tables that answer equally about a sample of channels."""
    sample = population.some_names(min(_SAMPLED_CHANNELS, population.channels), draw=0)
    answers = [(name, sorted(table.instances(name)), sorted(table.members(name).items())) for name in sample]
    return hashlib.sha256(repr((answers, table.widths(sample))).encode()).hexdigest()
