"""The harness behind `fanout bench`: it checks before it times, and runs the alternatives in the same run.

Rooms: `measure` runs in a process of its own for each figure, so that nothing else counts; `reports` says what the
figures mean and holds them against their targets; `render` shows a report; `baselines` are the alternatives.
"""
