"""The floor: what touching a row of each of many channels costs when there is nothing else to do."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from *:
    """
    #include <stdlib.h>
    #include <sys/mman.h>
    #ifdef MADV_HUGEPAGE
    static void ask_for_huge_pages(void *start, size_t length) { (void) madvise(start, length, MADV_HUGEPAGE); }
    #else
    static void ask_for_huge_pages(void *start, size_t length) { (void) start; (void) length; }
    #endif
    """
    int posix_memalign(void** start, size_t alignment, size_t length)
    void ask_for_huge_pages(void* start, size_t length)

cdef size_t HUGE_PAGE = 2 << 20


cdef char* in_huge_pages(size_t length):
    cdef void* start = NULL
    length = (length + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE
    if posix_memalign(&start, HUGE_PAGE, length) != 0:
        return NULL
    ask_for_huge_pages(start, length)
    memset(start, 0, length)
    return <char*>start


cdef class Floor:
    """A table of one row per channel, a counter in each: the least that any routing table must touch.

    Args:
        rows: how many.
        row_bytes: the length of each, a multiple of four.
        huge: ask the operating system for huge pages, as the engine's allocator does; else it is memory as the C library
            gives it.
    """

    cdef char* _table
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t row_bytes

    def __cinit__(self, Py_ssize_t rows, Py_ssize_t row_bytes, bint huge=False):
        if rows < 1 or row_bytes < 4 or row_bytes % 4:
            raise ValueError("a floor has rows, of a multiple of four bytes")
        self.rows, self.row_bytes = rows, row_bytes
        self._table = in_huge_pages(rows * row_bytes) if huge else <char*>calloc(rows, row_bytes)
        if self._table == NULL:
            raise MemoryError
        cdef Py_ssize_t row
        for row in range(rows):
            (<volatile uint32_t*>(self._table + row * row_bytes))[0] = 0  # so that every page is there

    def __dealloc__(self):
        free(self._table)

    def touch(self, const uint32_t[::1] places):
        """Add one to the row of each place: one read, one write.

        Raises:
            IndexError: a place is beyond the last row; those before it were touched.
        """
        cdef Py_ssize_t at
        cdef Py_ssize_t count = places.shape[0]
        cdef Py_ssize_t rows = self.rows
        cdef Py_ssize_t row_bytes = self.row_bytes
        with nogil:
            for at in range(count):
                if places[at] >= rows:
                    break
                (<uint32_t*>(self._table + places[at] * row_bytes))[0] += 1
            else:
                at = count
        if at < count:
            raise IndexError(f"row {places[at]} of {rows}")

    def count(self, Py_ssize_t row):
        """How often a row was touched."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of {self.rows}")
        return (<uint32_t*>(self._table + row * self.row_bytes))[0]

    def total(self):
        """How often rows were touched, all together."""
        cdef Py_ssize_t row
        cdef unsigned long long total = 0
        for row in range(self.rows):
            total += (<uint32_t*>(self._table + row * self.row_bytes))[0]
        return total
