"""What the services ask of the world. Nothing here is implemented; adapters do that, one file per technology.

Every method may raise `fanout.Unavailable` when its store or server cannot be reached: nothing was done, and the caller
may try again. Where the call was sent and not answered it raises `fanout.OutcomeUnknown`, which is one: the call may
have been done, and the caller repeats it with the same ids. One contract suite per port, in `tests/contracts/`, runs
over every adapter.
"""
