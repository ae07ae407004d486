"""Why a benchmark gives no figures."""


class BenchError(Exception):
    """A benchmark cannot go on; the text is for the person who started it."""


class NumberError(BenchError):
    """The numbers that were asked for cannot be; the text has them as they were taken."""


class DoesNotFitError(NumberError):
    """The machine has too little memory for what was asked."""


class TablesDifferError(BenchError):
    """The engine and an alternative answered differently, so a comparison would say nothing."""
