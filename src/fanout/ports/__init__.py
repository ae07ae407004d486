"""What the services ask of the world. Nothing here is implemented; adapters do that, one file per technology.

Every method may raise `fanout.Unavailable` when its store or server cannot be reached: nothing was half done, and the
caller may try again. One contract suite per port, in `tests/contracts/`, runs over every adapter.
"""
