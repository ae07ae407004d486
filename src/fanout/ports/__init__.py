"""The ports: the interfaces through which services use stores and servers. Adapters implement them, one per technology.

Every method may raise `fanout.Unavailable` when its store or server cannot be reached: nothing was done, and the caller
may try again. If the call was sent and not answered, it raises the subclass `fanout.OutcomeUnknown`: the call may
have been done, and the caller repeats it with the same ids. One contract suite per port, in `tests/contracts/`, runs
over every adapter.
"""
