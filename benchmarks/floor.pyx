"""The floor: what touching a row of each of many channels costs when there is nothing else to do."""

from libc.stdint cimport uint32_t


def touch(unsigned char[::1] table, Py_ssize_t row_bytes, const uint32_t[::1] places):
    """Add one to the counter in the row of each place: one read, one write. Raises an IndexError beyond the last row."""
    cdef Py_ssize_t at, rows = table.shape[0] // row_bytes
    cdef bint beyond = False
    with nogil:
        for at in range(places.shape[0]):
            if places[at] >= rows:
                beyond = True
                break
            (<uint32_t*>(&table[places[at] * row_bytes]))[0] += 1
    if beyond:
        raise IndexError(f"row {places[at]} of {rows}")
