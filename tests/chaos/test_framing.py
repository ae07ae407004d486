"""Framing holds wherever the bytes are cut."""

import pytest
from websockets.frames import Frame
from websockets.frames import Opcode as Theirs
from websockets.streams import StreamReader

from tests.chaos.framing import NatsFrames, Opcode, WebSocketFrames, client_frame

NATS = [
    b'INFO {"server_id":"x","port":4222,"connect_urls":["127.0.0.1:1"]}\r\n',
    b"PING\r\n",
    b"MSG instance.events.notification-1 7 12\r\nMSG a 1 2\r\nx\r\n",
    b"+OK\r\n",
    b"MSG _INBOX.1.2 1 $JS.ACK.x 0\r\n\r\n",
    b"HMSG instance.events.a 9 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
    b"-ERR 'Stale Connection'\r\n",
]
SUBJECTS = [b"", b"", b"instance.events.notification-1", b"", b"_INBOX.1.2", b"instance.events.a", b""]
PAYLOADS = [b"", b"", b"MSG a 1 2\r\nx", b"", b"", b"NATS/1.0\r\n\r\nhello", b""]


def test_nats_messages_are_found_wherever_the_stream_is_cut() -> None:
    stream = b"".join(NATS)
    for at in range(len(stream) + 1):
        frames = NatsFrames()
        found = frames.feed(stream[:at]) + frames.feed(stream[at:])
        assert [frame.raw for frame in found] == NATS
        assert [frame.subject for frame in found] == SUBJECTS
        assert [frame.payload for frame in found] == PAYLOADS


def test_nats_messages_are_found_byte_by_byte() -> None:
    frames = NatsFrames()
    assert [frame.raw for byte in b"".join(NATS) for frame in frames.feed(bytes([byte]))] == NATS


SENT = [
    (Opcode.TEXT, b"{}"),
    (Opcode.PING, b""),
    (Opcode.TEXT, b"x" * 125),
    (Opcode.TEXT, b"y" * 126),
    (Opcode.TEXT, b"z" * 300),
    (Opcode.CLOSE, b"\x03\xe8bye"),
]


def by_a_server(frames: list[tuple[Opcode, bytes]]) -> bytes:
    return b"".join(Frame(Theirs(opcode), payload).serialize(mask=False) for opcode, payload in frames)


def test_websocket_frames_are_found_wherever_the_stream_is_cut() -> None:
    stream = by_a_server(SENT)
    for at in range(len(stream) + 1):
        frames = WebSocketFrames()
        assert frames.feed(stream[:at]) + frames.feed(stream[at:]) == SENT


def test_a_large_websocket_frame_is_found() -> None:
    sent = [(Opcode.TEXT, b"x" * 70_000), (Opcode.PING, b"1")]
    assert WebSocketFrames().feed(by_a_server(sent)) == sent


def test_a_fragmented_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="fragmented"):
        WebSocketFrames().feed(b"\x01\x01x")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 3000])
def test_what_clients_send_is_read_by_others(length: int) -> None:
    reader, payload = StreamReader(), bytes(number % 251 for number in range(length))
    reader.feed_data(client_frame(Opcode.TEXT, payload))
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as end:
        next(parsing)
    assert end.value.value.data == payload
