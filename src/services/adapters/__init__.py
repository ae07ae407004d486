"""The ports of `fanout.ports`, one package per technology."""
