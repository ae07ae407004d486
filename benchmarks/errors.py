"""Why a benchmark gives no figures."""


class BenchError(Exception):
    """A benchmark cannot go on; the text is for the person who started it."""


class DoesNotFitError(BenchError):
    """The machine has too little memory for what was asked."""


class TablesDifferError(BenchError):
    """The engine and an alternative answered differently, so a comparison would say nothing."""
