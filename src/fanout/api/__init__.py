"""The REST calls by resource: the requests, the responses, who handles them, and the rows of the table of calls.

The gateway decodes requests and passes them to the services command and query, which handle them. They share only this
package, so they run in one process or in several. Each module of a resource has its rows as `CALLS`. A new call is a
row with its request and response beside it, and a method of the service that handles it.
"""
