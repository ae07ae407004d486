"""A stream that waits for more can be stopped."""

import os

from services.adapters.files.stream import StoppableStream


def test_what_is_there_is_read_and_the_end_is_seen() -> None:
    reading, writing = os.pipe()
    stream = StoppableStream(reading)
    os.write(writing, b"abc")
    assert stream.read(2) == b"ab"
    assert stream.read(2) == b"c"
    os.close(writing)
    assert stream.read(2) == b""
    os.close(reading)


def test_a_stream_that_was_stopped_reads_nothing_more() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    stream = StoppableStream(reading)
    stream.stop()
    assert stream.read(2) == b""
    for descriptor in (reading, writing):
        os.close(descriptor)
