"""What is measured with real sockets: a server, and clients cheap enough not to be what is measured.

`measuring` leads: it starts servers (`service`, and `plain` as the alternative) and clients, each in a process of its
own, and asks them in turn. What they say to each other is in `messages`; who reads which channel is in `audience`.
"""
