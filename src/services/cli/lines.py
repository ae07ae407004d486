"""Output for people: each line begins with a coloured word that says how severe it is."""

from typing import Final, Literal

from rich.console import Console
from rich.text import Text

Kind = Literal["ok", "weak", "bad", "error"]

_STYLES: Final[dict[Kind, str]] = {"ok": "green", "weak": "yellow", "bad": "red", "error": "red"}
_WIDTH: Final = 6

_out = Console(highlight=False, soft_wrap=True)
_err = Console(highlight=False, soft_wrap=True, stderr=True)


def say(kind: Kind, text: str) -> None:
    """Print a line to standard output."""
    _out.print(_line(kind, text))


def complain(kind: Kind, text: str) -> None:
    """Print a line to standard error."""
    _err.print(_line(kind, text))


def _line(kind: Kind, text: str) -> Text:
    return Text.assemble((kind.ljust(_WIDTH), _STYLES[kind]), text)
