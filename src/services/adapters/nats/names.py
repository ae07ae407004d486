"""The names of streams and subjects on a server that several deployments share."""

from typing import Final, NamedTuple

from fanout.streams import ROUTED_STREAMS, STREAMS

_STEMS: Final = tuple(STREAMS[stream].stem for stream in ROUTED_STREAMS)


class Names(NamedTuple):
    """The names of one deployment. With the prefix `x`, streams begin with `x_` and subjects with `x.`."""

    prefix: str = ""

    def stream(self, stream: str) -> str:
        """A stream's name on the server."""
        return f"{self.prefix}_{stream}" if self.prefix else stream

    def subject(self, subject: str) -> str:
        """A subject on the server."""
        return f"{self.prefix}.{subject}" if self.prefix else subject

    def bare(self, subject: str) -> str:
        """The subject without the prefix that it has on the server."""
        return subject.removeprefix(f"{self.prefix}.") if self.prefix else subject

    def stream_subjects(self, stream: str) -> list[str]:
        """The subjects of a stream as they are published."""
        return [self.subject(subject) for subject in STREAMS[stream].subjects]

    def partition(self, stream: str, part: int | str) -> str:
        """The subjects of one partition of a stream as they are stored."""
        return self.subject(f"{STREAMS[stream].stem}{part}.*")

    def published(self, stored: str) -> str:
        """The subject under which an event was published, without the prefix, given the subject as it is stored."""
        subject = self.bare(stored)
        for stem in _STEMS:
            if subject.startswith(stem) and subject.count(".") == stem.count(".") + 1:
                return stem + subject.rpartition(".")[2]
        return subject
