"""A routing table in a file: a process that starts has its table at once, and knows where in the log to go on."""

import json
import tempfile
from pathlib import Path

import fanout


def main() -> None:
    """Write a snapshot, restore it, and refuse one that is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.snapshot"

        engine = fanout.Engine()
        engine.user_online("alice", "notif-1", ["general", "random"])
        note = json.dumps({"position": 42}).encode()  # any bytes of yours
        print("bytes written:", engine.snapshot(path, note))

        restored = fanout.Engine.restore(path, flush_interval=0.002)
        print("restored:", restored, "from position", json.loads(restored.snapshot_note)["position"])
        print("instances of general:", sorted(restored.instances("general")))

        path.write_bytes(path.read_bytes()[:-1])
        try:
            fanout.Engine.restore(path)
        except fanout.SnapshotRefused as error:
            print("refused:", error)


if __name__ == "__main__":
    main()
