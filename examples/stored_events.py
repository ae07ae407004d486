"""Stored events: routed with a lane at the sender, and a lost batch found and repaired at the receiver.

The log here is a list. Any store works that gives each event a number which only rises.
"""

import json

import fanout

LANE = 1
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FA"


def stored_message(channel: str, text: str, number: int) -> bytes:
    """A message in the stored format of `message.new`."""
    message = {
        "message_id": f"msg_{ULID}{number}",
        "channel_id": channel,
        "sender_id": "alice",
        "text": text,
        "sent_at": "2026-02-01T10:00:00.000Z",
    }
    event = {"event_id": f"evt_{ULID}{number}", "type": "message.new", "channel_id": channel, "message": message}
    return json.dumps(event).encode()


LOG = [(seq, "general", stored_message("general", f"message {seq}", seq)) for seq in (1, 2, 3)]


def send() -> list[bytes]:
    """Route the log to the instance of one reader; the batches, one for each event and one for a mark."""
    engine = fanout.Engine()
    engine.user_online("bob", "notif-1", ["general"])
    engine.open_lane(LANE, epoch=1, position=0)
    batches = []
    for event in LOG:
        for seq, reason in engine.route_stored("message.new", LANE, 0, [event]):
            print("can never be delivered:", seq, reason)
        batches += [batch for _, batch in engine.drain(force=True)]
    engine.mark()  # says how far the lane has come, so that the loss of the last batch is noticed too
    return batches + [batch for _, batch in engine.drain(force=True)]


def deliver(payload: bytes) -> None:
    """The JSON that a client gets."""
    print("  client gets:", json.loads(payload)["message"]["text"])


class Receiver:
    """Reads batches event by event, and repairs gaps from the log."""

    def __init__(self) -> None:
        self.progress = fanout.LaneProgress()
        self.progress.advance(LANE, 0, plain=False)  # this receiver needs everything above 0

    def receive(self, batch: bytes) -> None:
        """Deliver what is new in a batch."""
        for event in fanout.decode_batch(batch):
            check = self.progress.check(event)
            print(f"{event.kind} seq={event.seq} prev={event.prev}: {check}")
            if check == "stale":
                continue
            if check == "gap":
                self.repair(event.prev)
            if event.kind == "message.new":
                deliver(event.event)
            self.progress.advance(LANE, event.seq, plain=False)

    def repair(self, upto: int) -> None:
        """Deliver from the log what was lost."""
        delivered = self.progress.upto(LANE) or 0
        for seq, channel, payload in LOG:
            if delivered < seq <= upto:
                deliver(fanout.message_frame(seq, 0, channel, payload))
                self.progress.advance(LANE, seq, plain=False)


def receive_with_a_hub(batches: list[bytes]) -> None:
    """The same batches through `InboundBatch`: a hub delivers what is next, and stops at a gap."""
    hub, progress = fanout.Hub(fanout.Engine()), fanout.LaneProgress()
    progress.advance(LANE, 0, plain=True)
    for batch in batches:
        inbound = fanout.InboundBatch(batch)
        while not inbound.is_done:
            event, _over_budget, _repeated, _unknown = hub.receive(inbound, progress, most=1_000)
            if event is not None and progress.check(event) == "gap":
                print(f"the hub stopped at seq={event.seq}: first deliver up to {event.prev} from the log")
                hub.deliver(event.channel or "", event.frame)
                progress.advance(LANE, event.seq, plain=True)
    print("delivered up to", progress.upto(LANE))


def main() -> None:
    """Lose the second of four batches."""
    batches = send()
    del batches[1]
    receiver = Receiver()
    for batch in batches:
        receiver.receive(batch)
    receive_with_a_hub(batches)


if __name__ == "__main__":
    main()
