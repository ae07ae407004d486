"""Populations, drawn fast and the same each time: who is in which channel, and what the channels are called."""

from cpython.array cimport array, clone
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport floor, pow
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

cdef enum:
    NAME_BYTES = 20
    SKEWED_TRIES = 16

cdef const char* DIGITS = b"0123456789abcdefghijklmnopqrstuv"
cdef uint64_t STEP = <uint64_t>0x9E3779B97F4A7C15
cdef uint64_t SPREAD = 2_654_435_761  # a prime: times it, modulo the number of channels, is one to one
cdef array LIKE = array("I")


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    """The finaliser of splitmix64: one to one, and no pattern survives it."""
    value = (value ^ (value >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    value = (value ^ (value >> 27)) * <uint64_t>0x94D049BB133111EB
    return value ^ (value >> 31)


def channel_names(const uint32_t[::1] numbers):
    """New strings, in no order: `c` and 19 digits to the base 32, of which the first 13 tell all names apart."""
    cdef char name[NAME_BYTES]
    cdef uint64_t bits
    cdef Py_ssize_t at, digit
    cdef list names = []
    name[0] = b"c"
    for at in range(numbers.shape[0]):
        bits = mixed(numbers[at] * STEP + 1)
        for digit in range(1, NAME_BYTES):
            name[digit] = DIGITS[bits & 31]
            bits = bits >> 5 if digit != 13 else mixed(mixed(numbers[at] * STEP + 1))
        names.append(PyUnicode_DecodeASCII(name, NAME_BYTES, NULL))
    return names


cdef struct Drawn:
    uint32_t* taken  # open addressing; 0 is free, so numbers are kept plus one
    uint64_t mask
    uint64_t state


cdef inline bint take(Drawn* drawn, uint32_t number) noexcept nogil:
    cdef uint64_t at = mixed(number) & drawn.mask
    while drawn.taken[at]:
        if drawn.taken[at] == number + 1:
            return False
        at = (at + 1) & drawn.mask
    drawn.taken[at] = number + 1
    return True


cdef inline uint32_t draw(Drawn* drawn, uint32_t channels, double skew) noexcept nogil:
    """By the inverse of a power law's distribution function, cut at both ends; popular ones are spread over all."""
    cdef double share, place
    drawn.state += STEP
    share = (mixed(drawn.state) >> 11) * (1.0 / 9007199254740992.0)
    if skew == 1.0:
        place = pow(channels + 1.0, share)
    else:
        place = pow(share * (pow(channels + 1.0, 1.0 - skew) - 1.0) + 1.0, 1.0 / (1.0 - skew))
    return <uint32_t>((<uint64_t>min(<uint32_t>floor(place) - 1, channels - 1) * SPREAD) % channels)


def sample(uint64_t seed, uint32_t channels, Py_ssize_t count, double skew, const uint32_t[::1] dealt):
    """Numbers of `count` distinct channels, from 0: those dealt, then drawn ones; the same for the same seed."""
    if count > channels or dealt.shape[0] > count:
        raise ValueError(f"{count} distinct numbers cannot be drawn of {channels}, {dealt.shape[0]} being dealt")
    cdef array numbers = clone(LIKE, count, zero=False)
    cdef uint32_t* into = <uint32_t*>numbers.data.as_voidptr
    cdef uint64_t size = 16
    cdef Py_ssize_t at
    cdef int tries
    while size < 2 * <uint64_t>count:
        size *= 2
    cdef Drawn drawn = Drawn(<uint32_t*>calloc(size, sizeof(uint32_t)), size - 1, mixed(seed * STEP + 1))
    if drawn.taken == NULL:
        raise MemoryError
    for at in range(dealt.shape[0]):
        into[at] = dealt[at]
        take(&drawn, dealt[at])
    with nogil:
        for at in range(dealt.shape[0], count):
            tries = 0  # a user who has all popular channels gets others, each as likely
            into[at] = draw(&drawn, channels, skew)
            while not take(&drawn, into[at]):
                tries += 1
                into[at] = draw(&drawn, channels, skew if tries < SKEWED_TRIES else 0.0)
    free(drawn.taken)
    return numbers


def draws(uint64_t seed, uint32_t channels, Py_ssize_t count, double skew):
    """Numbers of channels, each drawn by itself, so that popular ones come more than once."""
    cdef array numbers = clone(LIKE, count, zero=False)
    cdef Drawn drawn = Drawn(NULL, 0, mixed(seed * STEP + 1))
    cdef Py_ssize_t at
    for at in range(count):
        (<uint32_t*>numbers.data.as_voidptr)[at] = draw(&drawn, channels, skew)
    return numbers
