"""The engine without any service: who is online where, and batches ready to be sent."""

import fanout


def main() -> None:
    """Route one event to the two instances that hold readers of its channel."""
    engine = fanout.Engine()
    engine.user_online("alice", "notif-1", ["general", "random"])
    engine.user_online("bob", "notif-2", ["general"])
    print("instances of general:", sorted(engine.instances("general")))
    print("targets:", engine.route("general", b'{"type":"hello"}'))
    for instance, batch in engine.drain(force=True):
        print(instance, [record.event for record in fanout.decode_batch(batch)])


if __name__ == "__main__":
    main()
