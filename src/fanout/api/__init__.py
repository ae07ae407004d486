"""The REST calls by resource: the requests, the answers, who handles them, and the rows of the table of calls.

The gateway decodes requests and hands them on; command and query answer. They know each other through this package
alone, so they run in one process or in several. Each module of a resource has its rows as `CALLS`. A new call is a
row with its request and answer beside it, and a method of the service that handles it.
"""
