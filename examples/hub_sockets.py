"""A hub writes one frame to the sockets of a channel's members; the owner of a socket writes what the hub cannot."""

import socket

import fanout

BUDGET = 64 * 1024
"""Bytes that may wait for one client."""


Client = tuple[int, socket.socket, socket.socket]
"""The number of a socket in the hub, the server's end and the client's end."""


def connect(hub: fanout.Hub, sessions: fanout.Engine, session: str, user: str) -> Client:
    """Connect a client and open its session."""
    server, client = socket.socketpair()
    server.settimeout(0)
    number = hub.add(session, server.fileno(), BUDGET)
    sessions.user_online(user, session, ["general"])  # each session is an instance of the hub's engine
    hub.open(number, fanout.text_frame(b'{"type":"welcome"}'))
    return number, server, client


def main() -> None:
    """Two clients read a channel; one of them does not read for a while."""
    sessions = fanout.Engine()
    hub = fanout.Hub(sessions)
    first, first_server, first_client = connect(hub, sessions, "session-1", "alice")
    second, second_server, second_client = connect(hub, sessions, "session-2", "bob")

    hub.deliver("general", fanout.text_frame(b'{"type":"hello"}'))
    while hub.frames:
        written, left, _more = hub.flush(100)
        print("frames written:", written, "left for the owners:", len(left))
    print("alice:", first_client.recv(1_000))
    print("bob:", second_client.recv(1_000))

    hub.block(second, blocked=True)  # as if bob's transport had bytes buffered: the hub must not overtake them
    over_budget = hub.deliver("general", fanout.text_frame(b'{"type":"typing"}'), ephemeral=True)
    print("over budget:", over_budget == [second], "-> an ephemeral frame may be dropped")
    hub.flush(100)
    print("alice:", first_client.recv(1_000))

    for number, session in ((first, "session-1"), (second, "session-2")):
        hub.remove(number)  # first from the hub, then from the engine, then close the descriptor
        sessions.drop_instance(session)
    for end in (first_server, first_client, second_server, second_client):
        end.close()
    print(hub)


if __name__ == "__main__":
    main()
