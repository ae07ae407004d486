"""The floor: what touching a row of each of many channels costs when there is nothing else to do."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "<stdlib.h>":
    int posix_memalign(void** start, size_t alignment, size_t length)

cdef extern from "<sys/mman.h>":
    int madvise(void* start, size_t length, int advice)
    int MADV_HUGEPAGE

cdef size_t HUGE_PAGE = 2 << 20


cdef char* in_huge_pages(size_t length):
    cdef void* start = NULL
    length = (length + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE
    if posix_memalign(&start, HUGE_PAGE, length) == 0:
        madvise(start, length, MADV_HUGEPAGE)
        memset(start, 0, length)
    return <char*>start


cdef class Floor:
    """A table of one row per channel, a counter in each; `huge` asks for huge pages, as the engine's allocator does."""

    cdef char* _table
    cdef Py_ssize_t _rows, _row_bytes

    def __cinit__(self, Py_ssize_t rows, Py_ssize_t row_bytes, bint huge=False):
        self._rows, self._row_bytes = rows, row_bytes
        self._table = in_huge_pages(rows * row_bytes) if huge else <char*>calloc(rows, row_bytes)
        if self._table == NULL:
            raise MemoryError
        cdef Py_ssize_t row
        for row in range(rows):
            (<volatile uint32_t*>(self._table + row * row_bytes))[0] = 0  # so that every page is there

    def __dealloc__(self):
        free(self._table)

    def touch(self, const uint32_t[::1] places):
        """Add one to the row of each place: one read, one write. Raises an IndexError beyond the last row."""
        cdef Py_ssize_t at
        cdef bint beyond = False
        with nogil:
            for at in range(places.shape[0]):
                if places[at] >= self._rows:
                    beyond = True
                    break
                (<uint32_t*>(self._table + places[at] * self._row_bytes))[0] += 1
        if beyond:
            raise IndexError(f"row {places[at]} of {self._rows}")

    def counts(self):
        """How often each row was touched."""
        return [(<uint32_t*>(self._table + row * self._row_bytes))[0] for row in range(self._rows)]
