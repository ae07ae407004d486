"""The fan-out service: from the log, through the routing table, to the instances that hold readers."""
