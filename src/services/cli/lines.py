"""Output for people: each line begins with a coloured word that says how severe it is."""

from typing import Final, Literal

from rich.console import Console
from rich.text import Text

Severity = Literal["ok", "weak", "bad", "error"]

_STYLES: Final[dict[Severity, str]] = {"ok": "green", "weak": "yellow", "bad": "red", "error": "red"}
_WIDTH: Final = 6

_out = Console(highlight=False, soft_wrap=True)
_err = Console(highlight=False, soft_wrap=True, stderr=True)


def say(severity: Severity, text: str) -> None:
    """Print a line to standard output."""
    _out.print(styled(severity, text))


def complain(severity: Severity, text: str) -> None:
    """Print a line to standard error."""
    _err.print(styled(severity, text))


def styled(severity: Severity, text: str) -> Text:
    """A line that begins with the word for its severity."""
    return Text.assemble((severity.ljust(_WIDTH), _STYLES[severity]), text)
