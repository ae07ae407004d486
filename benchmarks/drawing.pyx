"""Populations, drawn fast and the same each time: who is in which channel, and what the channels are called."""

from cpython.array cimport array, clone
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport floor, pow
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

cdef enum:
    NAME_BYTES = 20
    DIGIT_BITS = 5
    DIGITS_OF_64_BITS = 13
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


cdef inline void write_name(uint32_t number, char* name) noexcept nogil:
    """`c` and 19 digits to the base 32. The digits of the first mix alone tell all names apart."""
    cdef uint64_t bits = mixed(number * STEP + 1)
    cdef uint64_t more = mixed(bits)
    cdef int at
    name[0] = b"c"
    for at in range(1, DIGITS_OF_64_BITS + 1):
        name[at] = DIGITS[bits & 31]
        bits >>= DIGIT_BITS
    for at in range(DIGITS_OF_64_BITS + 1, NAME_BYTES):
        name[at] = DIGITS[more & 31]
        more >>= DIGIT_BITS


def channel_names(const uint32_t[::1] numbers):
    """The names of channels, as new strings: 20 bytes each, in no order."""
    cdef char name[NAME_BYTES]
    cdef list names = []
    cdef Py_ssize_t at
    for at in range(numbers.shape[0]):
        write_name(numbers[at], name)
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


cdef inline double uniform(Drawn* drawn) noexcept nogil:
    drawn.state += STEP
    return (mixed(drawn.state) >> 11) * (1.0 / 9007199254740992.0)


cdef inline uint32_t rank(double share, uint32_t channels, double skew) noexcept nogil:
    """From 0. The inverse of a power law's distribution function, cut at both ends; a skew of 0 is uniform."""
    cdef double drawn
    if skew == 1.0:
        drawn = pow(channels + 1.0, share)
    else:
        drawn = pow(share * (pow(channels + 1.0, 1.0 - skew) - 1.0) + 1.0, 1.0 / (1.0 - skew))
    return min(<uint32_t>floor(drawn) - 1, channels - 1)


cdef inline uint32_t channel_of(uint64_t place, uint32_t channels) noexcept nogil:
    """Spreads the popular channels over all numbers."""
    return <uint32_t>((place * SPREAD) % channels)


cdef inline uint32_t draw(Drawn* drawn, uint32_t channels, double skew) noexcept nogil:
    """One that is not taken yet; who has all that are popular gets others, each as likely."""
    cdef uint32_t channel
    cdef int tries = 0
    while True:
        channel = channel_of(rank(uniform(drawn), channels, skew if tries < SKEWED_TRIES else 0.0), channels)
        if take(drawn, channel):
            return channel
        tries += 1


cdef Drawn begin(uint64_t seed, Py_ssize_t count) except *:
    cdef Drawn drawn
    cdef uint64_t size = 16
    while size < 2 * <uint64_t>count:
        size *= 2
    drawn.mask = size - 1
    drawn.state = mixed(seed * STEP + 1)
    drawn.taken = <uint32_t*>calloc(size, sizeof(uint32_t))
    if drawn.taken == NULL:
        raise MemoryError
    return drawn


def sample(uint64_t seed, uint32_t channels, Py_ssize_t count, double skew, const uint32_t[::1] dealt):
    """Numbers of distinct channels: those dealt, then drawn ones.

    Args:
        seed: the same one gives the same numbers.
        channels: of how many to draw, from 0.
        count: how many numbers in all, at most `channels`.
        skew: the exponent of a power law by which some channels are drawn more often; 0 is uniform.
        dealt: numbers to begin with, distinct.

    Returns:
        an array of unsigned 32-bit numbers.
    """
    if count > channels or dealt.shape[0] > count:
        raise ValueError(f"{count} distinct numbers cannot be drawn of {channels}, {dealt.shape[0]} being dealt")
    cdef array numbers = clone(LIKE, count, zero=False)
    cdef uint32_t* into = <uint32_t*>numbers.data.as_voidptr
    cdef Drawn drawn = begin(seed, count)
    cdef Py_ssize_t at
    try:
        for at in range(dealt.shape[0]):
            into[at] = dealt[at]
            take(&drawn, dealt[at])
        with nogil:
            for at in range(dealt.shape[0], count):
                into[at] = draw(&drawn, channels, skew)
    finally:
        free(drawn.taken)
    return numbers


def draws(uint64_t seed, uint32_t channels, Py_ssize_t count, double skew):
    """Numbers of channels, each drawn by itself, so that popular ones come more than once; `sample` says of what."""
    cdef array numbers = clone(LIKE, count, zero=False)
    cdef uint32_t* into = <uint32_t*>numbers.data.as_voidptr
    cdef Drawn drawn = Drawn(NULL, 0, mixed(seed * STEP + 1))
    cdef Py_ssize_t at
    for at in range(count):
        into[at] = channel_of(rank(uniform(&drawn), channels, skew), channels)
    return numbers
