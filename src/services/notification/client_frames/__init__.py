"""The frames that clients send: one module for each concern declares and handles them. Contract section 3.

A new frame is a module here, which declares a `FrameHandlers`, and a line in `concerns.py`.
"""
