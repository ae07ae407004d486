"""Processes that are asked and answer: the leading process's side of them, and their own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar, get_type_hints

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.sockets.messages import Member, Refusal

ANSWER_WITHIN_S: Final = 120.0
_HOME: Final = "benchmarks.live.sockets."
_SNIPPET: Final = "from benchmarks.live.sockets.peers import main; main()"
_SETTING_PREFIX: Final = "FANOUT_"
_REFUSAL: Final = b'{"type":"Refusal"'

A = TypeVar("A", bound=msgspec.Struct)


class Peer:
    """A process, and the line to it. It ends with the context, and by itself when this process does.

    Args:
        name: what it is called when it fails.
        work: `module:function` in this package. The function is given its settings and the line.
        settings: for it.
        hands: sockets that it gets beside the line; they are closed here.
    """

    def __init__(self, name: str, work: str, settings: msgspec.Struct, hands: Sequence[socket.socket] = ()) -> None:
        self.name = name
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWER_WITHIN_S)
        self._socket = ours
        self._answers = ours.makefile("rb")
        given = [theirs, *hands]
        arguments = [work, msgspec.json.encode(settings).decode(), *(str(each.fileno()) for each in given)]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-P", "-c", _SNIPPET, *arguments],
            pass_fds=[each.fileno() for each in given],
            stdin=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith(_SETTING_PREFIX)},
        )
        for each in given:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._socket.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def joined(self) -> Member:
        """Wait until it has begun.

        Raises:
            BenchError: it cannot.
        """
        return self._answer(Member)

    def ask(self, request: msgspec.Struct, answer: type[A]) -> A:
        """Ask, and wait for the answer.

        Raises:
            BenchError: it refused, ended, or says nothing.
        """
        self.tell(request)
        return self.hear(answer)

    def tell(self, request: msgspec.Struct) -> None:
        """Ask without waiting; `hear` gets the answer."""
        with suppress(BrokenPipeError):  # `hear` finds out why
            self._socket.sendall(msgspec.json.encode(request) + b"\n")

    def hear(self, answer: type[A]) -> A:
        """The answer to what was told.

        Raises:
            BenchError: it refused, ended, or says nothing.
        """
        return self._answer(answer)

    def _answer(self, answer: type[A]) -> A:
        try:
            line = self._answers.readline()
        except TimeoutError:
            raise BenchError(f"{self.name}: no answer within {ANSWER_WITHIN_S:g} s") from None
        except ConnectionError:
            line = b""
        if not line:
            raise BenchError(f"{self.name}: the process ended with code {self._process.wait()} and without an answer")
        if line.startswith(_REFUSAL):
            raise BenchError(f"{self.name}: {msgspec.json.decode(line, type=Refusal).why}")
        return msgspec.json.decode(line, type=answer)


class Line:
    """The other side: from such a process to the one that leads."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._requests = connected.makefile("rb")

    def answer(self, message: msgspec.Struct) -> None:
        """Say something."""
        self.socket.sendall(msgspec.json.encode(message) + b"\n")

    def request(self, kind: Any) -> Any:
        """Wait for the next request.

        Args:
            kind: the type, or the union of types, that it is of.

        Raises:
            EOFError: there will be none.
        """
        if not (line := self._requests.readline()):
            raise EOFError
        return msgspec.json.decode(line, type=kind)

    def end(self, why: str | None = None) -> NoReturn:
        """End this process at once: to close thousands of sockets takes a while, and nothing of it outlives it.

        Args:
            why: what the leading process is told, if it is still there.
        """
        if why is not None:
            with suppress(OSError):
                self.socket.settimeout(None)
                self.answer(Refusal(why))
        os._exit(0)


def main() -> None:
    """Run what the arguments name, until the leading process ends or kills this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leading process is interrupted too, and ends this one
    work, settings, line, *hands = sys.argv[1:]
    module, _, name = work.partition(":")
    if not module.startswith(_HOME):
        raise SystemExit(f"{work} is no work for a peer")
    function: Any = getattr(import_module(module), name)
    connected = Line(socket.socket(fileno=int(line)))
    wanted = get_type_hints(function)["settings"]
    sockets = [socket.socket(fileno=int(hand)) for hand in hands]
    try:
        function(msgspec.json.decode(settings, type=wanted), connected, *sockets)
    except BenchError as error:
        connected.end(str(error))
    except (EOFError, ConnectionError):
        pass
    connected.end()
