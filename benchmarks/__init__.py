"""The harness behind `fanout bench`: it checks before it times, and runs the alternatives in the same run.

`cases` say what is measured, what the figures mean and which targets they have; `live` starts services and measures
them; `render` shows a report; `baselines` are the alternatives; `command` makes the command line from the cases.
"""
