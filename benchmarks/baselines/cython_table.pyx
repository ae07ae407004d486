"""The routing table in Cython: names become numbers in Python dicts, everything behind the numbers is C arrays.

What it leaves out, to its own advantage: numbers are never given back, and no lock lets another thread read while a
user comes or goes.
"""

from benchmarks.baselines.python_table import validate

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

cdef extern from *:
    void __builtin_prefetch(const void* place) noexcept nogil

cdef enum:
    FIRST_ENTRIES = 3  # what the smallest block of the allocator holds
    FIRST_ROWS = 1024
    ROWS_AHEAD = 24
    ENTRIES_AHEAD = 12

cdef struct Entry:
    uint32_t instance
    uint32_t users

cdef struct Row:
    Entry* entries
    uint32_t length
    uint32_t room


cdef void* allocated(void* memory, size_t length) except NULL with gil:
    memory = realloc(memory, max(length, 1))
    if memory == NULL:
        raise MemoryError
    return memory


cdef class User:
    cdef uint32_t* channels
    cdef Py_ssize_t count
    cdef set places

    def __dealloc__(self):
        free(self.channels)


cdef inline int add(Row* row, uint32_t instance) except -1 nogil:
    """Count one user more; whether the instance is new."""
    cdef uint32_t at
    for at in range(row.length):
        if row.entries[at].instance == instance:
            row.entries[at].users += 1
            return 0
    if row.length == row.room:
        row.room = row.room * 2 if row.room else FIRST_ENTRIES
        row.entries = <Entry*>allocated(row.entries, row.room * sizeof(Entry))
    row.entries[row.length] = Entry(instance, 1)
    row.length += 1
    return 1


cdef inline int remove(Row* row, uint32_t instance) except -1 nogil:
    """Count one user less; whether the instance is gone."""
    cdef Entry* entry = row.entries
    while entry.instance != instance:
        entry += 1
    entry.users -= 1
    if entry.users:
        return 0
    row.length -= 1
    entry[0] = row.entries[row.length]
    if row.length == 0:
        free(row.entries)
        memset(row, 0, sizeof(Row))
    return 1


cdef class CythonTable:
    """Channel -> instances with their users counted, user -> channels. A list of channels names each once."""

    cdef Row* _rows
    cdef Py_ssize_t _room
    cdef dict _channels, _instances, _users
    cdef list _channel_names, _instance_names, _pending

    def __cinit__(self):
        self._channels, self._instances, self._users = {}, {}, {}
        self._channel_names, self._instance_names, self._pending = [], [], []

    def __dealloc__(self):
        cdef Py_ssize_t at
        for at in range(self._room):
            free(self._rows[at].entries)
        free(self._rows)

    def user_online(self, str user, str instance, channels=None):
        cdef User known = self._users[user] if channels is None else self._learn(user, list(channels))
        if instance in known.places:
            return 0
        known.places.add(instance)
        return self._change(known, self._instance(instance), True)

    def user_offline(self, str user, str instance):
        cdef User known = self._users.get(user)
        if known is None or instance not in known.places:
            return 0
        known.places.remove(instance)
        return self._change(known, self._instance(instance), False)

    def forget(self, str user):
        self._users.pop(user, None)

    def instances(self, str channel):
        cdef object number = self._channels.get(channel)
        if number is None:
            return frozenset()
        cdef Row* row = &self._rows[<Py_ssize_t>number]
        return frozenset([self._instance_names[row.entries[at].instance] for at in range(row.length)])

    def widths(self, channels):
        cdef dict numbers = self._channels
        cdef list widths = []
        for channel in channels:
            number = numbers.get(channel)
            widths.append(0 if number is None else self._rows[<Py_ssize_t>number].length)
        return widths

    def members(self, str channel):
        """From the lists of all users, since rows only count."""
        cdef dict members = {}
        cdef object number = self._channels.get(channel)
        cdef User known
        for user, known in self._users.items():
            if number is not None and <uint32_t>number in known.channels[: known.count]:
                for instance in known.places:
                    members.setdefault(instance, []).append(user)
        return {instance: sorted(users) for instance, users in members.items()}

    def route_many(self, list events):
        cdef Py_ssize_t targets = 0
        cdef uint32_t at
        cdef Row* row
        cdef bytes framed
        for channel, event in events:
            validate(event)
            number = self._channels.get(channel)
            if number is None:
                continue
            row = &self._rows[<Py_ssize_t>number]
            framed = PyBytes_GET_SIZE(event).to_bytes(4, "little") + <bytes>event
            for at in range(row.length):
                (<list>self._pending[row.entries[at].instance]).append(framed)
            targets += row.length
        return targets

    def drain(self):
        batches = [(self._instance_names[at], b"".join(events)) for at, events in enumerate(self._pending) if events]
        self._pending = [[] for _ in self._instance_names]
        return batches

    cdef User _learn(self, str user, list names):
        cdef User known = User()
        known.places = set()
        known.channels = <uint32_t*>allocated(NULL, len(names) * sizeof(uint32_t))
        for name in names:
            known.channels[known.count] = self._channel(name)
            known.count += 1
        self._users[user] = known
        return known

    cdef uint32_t _channel(self, str name) except? 0:
        cdef object number = self._channels.get(name)
        if number is not None:
            return number
        cdef Py_ssize_t new = len(self._channel_names)
        if new == self._room:
            self._room = 2 * new if new else FIRST_ROWS
            self._rows = <Row*>allocated(self._rows, self._room * sizeof(Row))
            memset(self._rows + new, 0, (self._room - new) * sizeof(Row))
        self._channel_names.append(name)
        self._channels[name] = new
        return <uint32_t>new

    cdef uint32_t _instance(self, str name) except? 0:
        if name not in self._instances:
            self._instances[name] = len(self._instance_names)
            self._instance_names.append(name)
            self._pending.append([])
        return self._instances[name]

    cdef Py_ssize_t _change(self, User known, uint32_t instance, bint coming) except -1:
        """Rows of the table are far apart in memory: those that come next are asked for in time."""
        cdef Py_ssize_t at, changed = 0
        cdef Row* row
        with nogil:
            for at in range(known.count):
                if at + ROWS_AHEAD < known.count:
                    __builtin_prefetch(&self._rows[known.channels[at + ROWS_AHEAD]])
                    __builtin_prefetch(self._rows[known.channels[at + ENTRIES_AHEAD]].entries)
                row = &self._rows[known.channels[at]]
                changed += add(row, instance) if coming else remove(row, instance)
        return changed
