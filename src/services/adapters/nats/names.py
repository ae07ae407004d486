"""What streams and subjects are called on a server that several deployments share."""

from typing import NamedTuple

from fanout.subjects import STREAM_SUBJECTS

_SENT = "messages.send."


class Names(NamedTuple):
    """The names of one deployment: with the prefix `x`, streams begin with `x_` and subjects with `x.`."""

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
        return [self.subject(subject) for subject in STREAM_SUBJECTS[stream]]

    def sent(self) -> str:
        """The subjects of messages as they are published."""
        return self.subject(f"{_SENT}*")

    def partition(self, part: int | str) -> str:
        """The subjects of a partition's messages as they are stored."""
        return self.subject(f"{_SENT}{part}.*")

    def published(self, stored: str) -> str:
        """The subject as it was published, without the prefix, given the one that is stored."""
        subject = self.bare(stored)
        if subject.startswith(_SENT) and subject.count(".") == _SENT.count(".") + 1:
            return _SENT + subject.rpartition(".")[2]
        return subject
