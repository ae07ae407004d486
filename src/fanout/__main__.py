"""`python -m fanout`: the command `fanout` where the services are installed, and otherwise how to get it."""

import sys
from importlib.metadata import entry_points

from fanout import __version__

NEEDS_SERVICES = 2
"""Exit code of a command that only the services have."""


def main() -> int:
    """Run the command that the distribution of the services brings, found by its entry point.

    Returns:
        the exit code: 0 where nothing but the version was asked for.
    """
    for command in entry_points(group="console_scripts", name="fanout"):
        run = command.load()
        return int(run() or 0)
    print(f"fanout {__version__}: the engine as a library; `import fanout` uses it.")
    print("The services and the command `fanout` are the distribution fanout-services: pip install 'fanout[services]'")
    return NEEDS_SERVICES if set(sys.argv[1:]) - {"--version"} else 0


if __name__ == "__main__":
    sys.exit(main())
