"""The routing table in Cython: names become numbers in Python dicts, everything behind the numbers is C arrays.

What it leaves out, to its own advantage: numbers are never given back, and no lock lets another thread read while a
user comes or goes.
"""

from benchmarks.baselines.python_table import validate

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
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


cdef class User:
    """What is known of a user."""

    cdef uint32_t* channels
    cdef Py_ssize_t count
    cdef set places

    def __cinit__(self):
        self.places = set()

    def __dealloc__(self):
        free(self.channels)


cdef inline Entry* find(Row* row, uint32_t instance) noexcept nogil:
    cdef uint32_t at
    for at in range(row.length):
        if row.entries[at].instance == instance:
            return &row.entries[at]
    return NULL


cdef int insert(Row* row, uint32_t instance) except -1 nogil:
    """Whether the entry is new."""
    cdef Entry* entry = find(row, instance)
    cdef uint32_t room
    if entry != NULL:
        entry.users += 1
        return 0
    if row.length == row.room:
        room = row.room * 2 if row.room else FIRST_ENTRIES
        entry = <Entry*>realloc(row.entries, room * sizeof(Entry))
        if entry == NULL:
            with gil:
                raise MemoryError
        row.entries, row.room = entry, room
    row.entries[row.length] = Entry(instance, 1)
    row.length += 1
    return 1


cdef bint remove(Row* row, uint32_t instance) noexcept nogil:
    """Whether the entry is gone."""
    cdef Entry* entry = find(row, instance)
    entry.users -= 1
    if entry.users:
        return False
    row.length -= 1
    entry[0] = row.entries[row.length]
    if row.length == 0:
        free(row.entries)
        memset(row, 0, sizeof(Row))
    return True


cdef class CythonTable:
    """Channel -> instances with their users counted, user -> channels. A list of channels names each once."""

    cdef Row* _rows
    cdef Py_ssize_t _room
    cdef dict _channels, _instances, _users
    cdef list _channel_names, _instance_names, _pending

    def __cinit__(self):
        self._channels, self._instances, self._users = {}, {}, {}
        self._channel_names, self._instance_names, self._pending = [], [], []
        self._room = FIRST_ROWS
        self._rows = <Row*>calloc(FIRST_ROWS, sizeof(Row))
        if self._rows == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t at
        for at in range(self._room):
            free(self._rows[at].entries)
        free(self._rows)

    def user_online(self, str user, str instance, channels=None):
        """Place a user who is offline; given channels replace what was known. How many pairs are new.

        Raises:
            KeyError: no channels are given and none are known.
        """
        cdef User known = self._users[user] if channels is None else self._learn(user, channels)
        if instance in known.places:
            return 0
        known.places.add(instance)
        return self._place(known, self._instance(instance))

    def user_offline(self, str user, str instance):
        """Take a user off an instance. How many (channel, instance) pairs are gone."""
        cdef User known = self._users.get(user)
        if known is None or instance not in known.places:
            return 0
        known.places.remove(instance)
        return self._displace(known, self._instances[instance])

    def forget(self, str user):
        """Drop the list of a user who is offline."""
        cdef User known = self._users.get(user)
        if known is not None and not known.places:
            del self._users[user]

    def instances(self, str channel):
        """Where the channel's readers are."""
        cdef object number = self._channels.get(channel)
        if number is None:
            return frozenset()
        cdef Row* row = &self._rows[<Py_ssize_t>number]
        return frozenset([self._instance_names[row.entries[at].instance] for at in range(row.length)])

    def widths(self, channels):
        """How many instances each channel has."""
        cdef dict numbers = self._channels
        cdef list widths = []
        for channel in channels:
            number = numbers.get(channel)
            widths.append(0 if number is None else self._rows[<Py_ssize_t>number].length)
        return widths

    def members(self, str channel):
        """The channel's online members, sorted, by instance; from the lists of all users, since rows only count."""
        cdef dict members = {}
        cdef object number = self._channels.get(channel)
        cdef User known
        for user, known in self._users.items():
            if number is not None and known.places and holds(known, number):
                for instance in known.places:
                    members.setdefault(instance, []).append(user)
        return {instance: sorted(users) for instance, users in members.items()}

    def route_many(self, list events):
        """Validate each event, and append it to the batch of each instance. How many targets in all.

        Raises:
            msgspec.DecodeError: an event is not one JSON object.
        """
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
        """The batches: events, each after its length in four bytes."""
        cdef list batches = []
        for at, events in enumerate(self._pending):
            if events:
                batches.append((self._instance_names[at], b"".join(events)))
                self._pending[at] = []
        return batches

    cdef User _learn(self, str user, channels):
        cdef list names = channels if type(channels) is list else list(channels)
        cdef User known = User()
        if user in self._users and (<User>self._users[user]).places:
            raise NotImplementedError("the list of a user who is online is not replaced here")
        known.channels = <uint32_t*>malloc(max(len(names), 1) * sizeof(uint32_t))
        if known.channels == NULL:
            raise MemoryError
        for name in names:
            known.channels[known.count] = self._channel(name)
            known.count += 1
        self._users[user] = known
        return known

    cdef uint32_t _channel(self, str name) except? 0:
        cdef dict numbers = self._channels
        cdef object number = numbers.get(name)
        if number is not None:
            return number
        cdef Py_ssize_t new = len(self._channel_names)
        if new == self._room:
            self._grow()
        self._channel_names.append(name)
        numbers[name] = new
        return <uint32_t>new

    cdef uint32_t _instance(self, str name) except? 0:
        cdef object number = self._instances.get(name)
        if number is None:
            number = self._instances[name] = len(self._instance_names)
            self._instance_names.append(name)
            self._pending.append([])
        return number

    cdef int _grow(self) except -1:
        cdef Row* rows = <Row*>realloc(self._rows, 2 * self._room * sizeof(Row))
        if rows == NULL:
            raise MemoryError
        memset(rows + self._room, 0, self._room * sizeof(Row))
        self._rows = rows
        self._room *= 2
        return 0

    cdef Py_ssize_t _place(self, User known, uint32_t instance) except -1:
        cdef Py_ssize_t new = 0
        cdef Py_ssize_t at
        with nogil:
            for at in range(known.count):
                self._fetch(known, at)
                new += insert(&self._rows[known.channels[at]], instance)
        return new

    cdef Py_ssize_t _displace(self, User known, uint32_t instance) noexcept:
        cdef Py_ssize_t gone = 0
        cdef Py_ssize_t at
        with nogil:
            for at in range(known.count):
                self._fetch(known, at)
                gone += remove(&self._rows[known.channels[at]], instance)
        return gone

    cdef inline void _fetch(self, User known, Py_ssize_t at) noexcept nogil:
        """Rows of the table are far apart in memory: those that come next are asked for in time."""
        if at + ROWS_AHEAD < known.count:
            __builtin_prefetch(&self._rows[known.channels[at + ROWS_AHEAD]])
            __builtin_prefetch(self._rows[known.channels[at + ENTRIES_AHEAD]].entries)


cdef bint holds(User known, uint32_t channel) noexcept:
    cdef Py_ssize_t at
    for at in range(known.count):
        if known.channels[at] == channel:
            return True
    return False
