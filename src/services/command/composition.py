"""Where the commands meet what they work on."""

from fanout.api import Commands
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from services.command.service import CommandService


def build_commands(log: Log, memberships: Memberships) -> Commands:
    """The commands over ready adapters."""
    return CommandService(log, memberships)
