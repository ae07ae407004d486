"""`python -m fanout`: runs the command `fanout` if the services are installed; otherwise says how to get it."""

import sys
from importlib.metadata import entry_points

from fanout import __version__

REMEDY = "In the checkout: make build, or pip install ./packaging/services"
"""No package index has the services, and what is named `fanout` there is another project."""
NEEDS_SERVICES = 2
"""The exit code if the services are missing and the arguments need them."""


def main() -> int:
    """Run the command that the distribution of the services brings, found by its entry point.

    Returns:
        the exit code. Without the services it is 0 if only the version was asked for.
    """
    for command in entry_points(group="console_scripts", name="fanout"):
        run = command.load()
        return int(run() or 0)
    print(f"fanout {__version__}: the engine as a library; `import fanout` uses it.")
    print(f"The services and the command `fanout` are a distribution of their own. {REMEDY}.")
    return NEEDS_SERVICES if set(sys.argv[1:]) - {"--version"} else 0


if __name__ == "__main__":
    sys.exit(main())
