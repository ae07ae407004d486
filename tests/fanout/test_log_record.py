"""Positions rise and are never given twice, whatever a stream goes through; a plain model holds against it."""

from hypothesis import given
from hypothesis import strategies as st

from fanout.log_record import LARGEST_POSITION, LIFTED, LogRecord, decode_record, encode_record

NOW_US = 1_800_000_000_000_000


def test_positions_are_sequences_until_a_stream_goes_back() -> None:
    record = LogRecord.first("a")
    assert [record.position(seq) for seq in (0, 1, 7)] == [0, 1, 7]
    assert [record.sequence(position) for position in (0, 1, 7)] == [0, 1, 7]
    assert record.end(7) == 7
    assert record.has(9)


def test_what_was_lost_has_no_sequence_any_more_and_readers_of_it_go_on_behind_what_survived() -> None:
    record = LogRecord.first("a").restored(51, 99, now_us=NOW_US, given=100)
    assert [record.sequence(position) for position in (50, 51, 100)] == [50, 50, 50]
    assert (record.has(50), record.has(51), record.has(100)) == (True, False, False)
    assert record.position(51) > NOW_US
    assert record.sequence(record.position(51)) == 51
    assert record.end(50) == record.position(51) - 1
    assert record.sequence(record.end(50)) == 50


def test_what_was_read_by_an_older_record_counts_up_to_what_was_renumbered() -> None:
    first = LogRecord.first("a")
    second = first.restored(51, 0, now_us=NOW_US, given=100)
    third = second.restored(61, 0, now_us=NOW_US, given=second.position(80))
    assert [third.floor(80, generation) for generation in (1, 2, 3)] == [50, third.position(60), third.position(80)]
    assert third.floor(40, 1) == 40


def test_the_newest_survivor_is_that_of_all_that_was_missed() -> None:
    record = LogRecord.first("a").restored(51, 500, now_us=NOW_US, given=100)
    later = record.restored(61, 700, now_us=NOW_US + 9, given=0)
    assert [later.survived_ns(generation) for generation in (1, 2)] == [500, 700]
    replaced = later.replaced("b", 0, now_us=NOW_US, given=0)
    assert replaced.survived_ns(3) == 0


def test_what_was_lost_since_a_time_is_told_by_where_it_was_renumbered() -> None:
    record = LogRecord.first("a")
    assert record.survived_since(0) is None
    record = record.restored(51, 500, now_us=NOW_US, given=100).restored(61, 700, now_us=NOW_US + 10**9, given=0)
    times = (NOW_US, NOW_US + 10**8, NOW_US + 2 * 10**9)
    assert [record.survived_since(since) for since in times] == [500, 700, None]
    own = record.replaced("b", NOW_US + 10**10, now_us=NOW_US + 10**10, given=0)
    assert [own.survived_since(NOW_US + add) for add in (10**10, 2 * 10**10)] == [0, None]


def test_a_stream_in_the_place_of_another_is_numbered_above_it() -> None:
    first = LogRecord.first("a")
    own = first.replaced("b", NOW_US, now_us=NOW_US, given=100)
    assert own.position(NOW_US) == NOW_US
    assert own.sequence(100) < NOW_US
    foreign = first.replaced("b", 0, now_us=NOW_US, given=100)
    assert foreign.position(1) > NOW_US
    assert foreign.sequence(100) == 0
    behind = own.replaced("c", LIFTED, now_us=NOW_US - 10**9, given=NOW_US + 5)
    assert behind.position(LIFTED) > NOW_US + 5


def test_a_stream_in_the_place_of_one_that_was_created_by_a_faster_clock_is_above_it_and_below_what_clients_read() -> (
    None
):
    record, before = LogRecord.first("a"), 0
    for number in range(9):
        first = NOW_US - number * 10**9
        record = record.replaced(str(number), first, now_us=first, given=0)
        assert before < record.position(first) < LARGEST_POSITION
        assert record.sequence(before) < first
        before = record.position(first)


def test_what_others_were_given_and_the_finder_did_not_see_is_passed_over_also_by_a_slower_clock() -> None:
    record = LogRecord.first("a").restored(51, 99, now_us=NOW_US, given=100)
    seen, given_elsewhere = record.position(60), record.position(5_000)
    assert record.restored(56, 99, now_us=NOW_US - 10**9, given=seen).position(56) > given_elsewhere


def test_a_record_is_read_as_it_was_written() -> None:
    record = LogRecord.first("a").restored(51, 99, now_us=NOW_US, given=100)
    assert decode_record(encode_record(record)) == record


def test_each_numbering_has_an_identity_of_its_own() -> None:
    first = LogRecord.first("2026")
    lost = first.restored(8, 0, now_us=NOW_US, given=9)
    records = [first, lost, lost.restored(8, 0, now_us=NOW_US, given=lost.begins), LogRecord.first("2027")]
    identities = [record.identity("deployment", "MESSAGES") for record in records]
    identities += [first.identity("other", "MESSAGES"), first.identity("deployment", "META")]
    assert len(set(identities)) == len(identities)
    assert first.identity("deployment", "MESSAGES") == LogRecord.first("2026").identity("deployment", "MESSAGES")
    assert (first.begins, lost.begins) == (0, lost.position(8))


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 20)),
        st.tuples(st.just("lose"), st.integers(1, 30)),
        st.tuples(st.just("replace"), st.booleans()),
    ),
    max_size=25,
)


@given(_STEPS, st.integers(-(10**6), 10**6))
def test_no_position_is_given_twice_and_each_leads_to_its_event(steps: list[tuple[str, int]], clock_step: int) -> None:
    record, now = LogRecord.first("0"), NOW_US
    held: list[tuple[int, int]] = []  # sequence and event
    last, events, given_to = 0, 0, dict[int, int]()
    newest = 0
    for number, (what, amount) in enumerate(steps):
        now += clock_step
        if what == "append":
            for _ in range(amount):
                last, events = last + 1, events + 1
                held.append((last, events))
                position = record.position(last)
                assert position > newest
                assert position not in given_to
                given_to[position], newest = events, position
        elif what == "lose":
            held = held[: max(0, len(held) - amount)]
            last = held[-1][0] if held else 0
            record = record.restored(last + 1, 0, now_us=now, given=newest)
        else:
            first = now if amount else 0
            held, last = [], max(0, first - 1)
            record = record.replaced(str(number), first, now_us=now, given=newest)
        for seq, event in held:
            assert given_to[record.position(seq)] == event
            assert record.sequence(record.position(seq)) == seq
        assert record.sequence(newest) >= max((seq for seq, _ in held), default=0)
        assert record.sequence(newest) <= last
