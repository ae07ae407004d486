"""The contract of `fanout.ports.messages.Messages`, over every adapter."""

import asyncio
from typing import Any

import msgspec
import pytest

from fanout.events import StoredMessage, encode
from fanout.ids import new_message_id
from fanout.ports.messages import IndexEntry, LogPlace, Messages, Page, Position
from tests.support.stored import in_history


def _series(number: int, channel_id: str = "general") -> list[StoredMessage]:
    """Messages in the order of the log."""
    return [in_history(seq, channel_id, text=f"message {seq}") for seq in range(1, number + 1)]


def _at(message: StoredMessage) -> Position:
    return Position(message.seq, message.message_id)


async def _history(messages: Messages, channel_id: str = "general") -> list[StoredMessage]:
    return (await messages.history(channel_id, limit=1_000)).messages


async def test_a_message_is_found_whole(messages: Messages) -> None:
    message = StoredMessage(
        message_id=new_message_id(),
        channel_id="general",
        sender_id="alice",
        text="Grüße, \u4e16\u754c \U0001f44b\nand 'quotes' \x00",
        sent_at="2026-02-01T10:00:00.000Z",
        thread_id=new_message_id(),
        mentions=["bob", "carol"],
        attachments=[{"url": "https://example.org/a.png", "size": 3}, None, 1.5],
        client_msg_id="c-1",
        also_send_to_channel=True,
        seq=(1 << 53) - 1,
    )
    await messages.write([message])
    assert await messages.history("general") == Page([message])
    assert await messages.replies(str(message.thread_id)) == Page([message])


async def test_what_a_message_lacks_it_lacks_when_it_is_found(messages: Messages) -> None:
    message = in_history(1)
    await messages.write([message])
    assert await _history(messages) == [message]


async def test_history_is_in_the_order_of_the_log_whatever_the_order_of_writing(messages: Messages) -> None:
    written = _series(5)
    await messages.write([written[index] for index in (2, 0, 4, 1, 3)])
    assert await _history(messages) == written[::-1]


async def test_history_is_in_the_order_of_the_log_whatever_the_ids(messages: Messages) -> None:
    ids = sorted((new_message_id() for _ in range(3)), reverse=True)
    written = [msgspec.structs.replace(in_history(seq), message_id=ids[seq - 1]) for seq in (1, 2, 3)]
    await messages.write(written)
    assert await _history(messages) == written[::-1]
    assert (await messages.history("general", after=_at(written[0]))).messages == written[:0:-1]
    assert (await messages.history("general", before=_at(written[2]))).messages == written[1::-1]


async def test_history_is_of_one_channel(messages: Messages) -> None:
    here, there = in_history(1), in_history(2, "random")
    await messages.write([here, there])
    assert await _history(messages) == [here]
    assert await _history(messages, "nowhere") == []


async def test_a_message_written_twice_is_there_once(messages: Messages) -> None:
    written = _series(3)
    await messages.write(written)
    await messages.write(written[1:])
    await messages.write([written[0], written[0]])
    assert await _history(messages) == written[::-1]


async def test_what_is_there_already_is_not_changed(messages: Messages) -> None:
    first = in_history(1)
    forged = msgspec.structs.replace(first, sender_id="eve", text="forged", sent_at="2026-02-01T12:00:00.000Z")
    await messages.write([first])
    await messages.write([forged])
    assert await _history(messages) == [first]


async def test_a_message_moves_to_a_higher_place_and_never_to_a_lower(messages: Messages) -> None:
    first, second, third = _series(3)
    await messages.write([first, second, third])
    moved = msgspec.structs.replace(first, seq=9)
    await messages.write([moved])
    assert await _history(messages) == [moved, third, second]
    assert await messages.position_of("general", first.message_id) == Position(9, first.message_id)
    await messages.write([first, msgspec.structs.replace(first, seq=5)])
    assert await _history(messages) == [moved, third, second]


async def test_an_id_that_another_channel_has_changes_nothing_there(messages: Messages) -> None:
    message = in_history(1)
    await messages.write([message])
    await messages.write([msgspec.structs.replace(message, channel_id="random", seq=7)])
    assert await _history(messages) == [message]


async def test_messages_of_one_place_do_not_replace_each_other(messages: Messages) -> None:
    twins = sorted((in_history(4) for _ in range(3)), key=_at)
    for twin in twins[::-1]:
        await messages.write([twin])
    assert await _history(messages) == twins[::-1]
    assert await messages.history("general", limit=1) == Page([twins[2]], next_seq=4)
    assert (await messages.history("general", before=_at(twins[2]))).messages == [twins[1], twins[0]]
    assert (await messages.history("general", after=_at(twins[0]))).messages == [twins[2], twins[1]]
    assert await messages.history("general", before=Position(4)) == Page([])
    assert (await messages.history("general", after=Position(4))).messages == twins[::-1]
    assert await messages.history("general", after=Position(5)) == Page([])


async def test_a_page_holds_at_most_the_limit_and_says_what_follows(messages: Messages) -> None:
    written = _series(60)
    await messages.write(written)
    assert await messages.history("general", limit=2) == Page(written[:-3:-1], next_seq=58)
    assert await messages.history("general") == Page(written[:9:-1], next_seq=10)
    assert await messages.history("general", limit=60) == Page(written[::-1])
    after = Position(1)
    assert await messages.history("general", after=after, limit=2) == Page(written[1::-1], next_seq=3)


async def test_pages_before_a_place_go_back_without_gap_or_overlap(messages: Messages) -> None:
    written = _series(7)
    await messages.write(written)
    seen: list[StoredMessage] = []
    while page := (await messages.history("general", before=_at(seen[-1]) if seen else None, limit=3)).messages:
        seen += page
    assert seen == written[::-1]


async def test_pages_after_a_place_are_the_oldest_after_it_newest_first(messages: Messages) -> None:
    written = _series(7)
    await messages.write(written)
    page = await messages.history("general", after=_at(written[1]), limit=3)
    assert page == Page([*written[4:1:-1]], next_seq=6)


async def test_pages_after_a_place_go_on_to_the_end(messages: Messages) -> None:
    written = _series(7)
    await messages.write(written)
    caught_up = [written[0]]
    while page := (await messages.history("general", after=_at(caught_up[-1]), limit=4)).messages:
        caught_up += page[::-1]
    assert caught_up == written


async def test_a_page_lies_between_two_places(messages: Messages) -> None:
    written = _series(7)
    await messages.write(written)
    page = await messages.history("general", after=_at(written[1]), before=_at(written[4]))
    assert page == Page([written[3], written[2]])


async def test_the_bounds_need_not_be_there(messages: Messages) -> None:
    message = in_history(5)
    await messages.write([message])
    earlier, later = Position(4, new_message_id()), Position(6, new_message_id())
    assert (await messages.history("general", after=earlier, before=later)).messages == [message]
    assert await messages.history("general", before=earlier) == Page([])
    assert await messages.history("general", after=later) == Page([])


async def test_a_limit_of_zero_is_an_empty_page(messages: Messages) -> None:
    await messages.write(_series(2))
    assert (await messages.history("general", limit=0)).messages == []


@pytest.mark.parametrize("after", [None, Position(0)])
async def test_a_page_holds_at_most_the_bytes_and_says_what_follows(messages: Messages, after: Position | None) -> None:
    written = [in_history(seq, text="\x01" * 1_000) for seq in range(1, 6)]  # six bytes for each, as JSON
    await messages.write(written)
    found = written if after else written[::-1]
    three = sum(len(encode(message)) + 1 for message in found[:3])
    for max_bytes, fitting in ((three, 3), (three - 1, 2), (1_000_000, 5), (1, 1)):
        page = await messages.history("general", after=after, max_bytes=max_bytes)
        assert page.messages == (found[:fitting][::-1] if after else found[:fitting])
        assert page.next_seq == (found[fitting].seq if fitting < len(found) else None)


async def test_the_place_of_a_message_is_found_in_its_channel_only(messages: Messages) -> None:
    here, there = in_history(3), in_history(4, "random")
    await messages.write([here, there])
    assert await messages.position_of("general", here.message_id) == _at(here)
    assert await messages.position_of("general", there.message_id) is None
    assert await messages.position_of("general", new_message_id()) is None


async def test_the_key_of_cursors_stays(messages: Messages) -> None:
    keys = await asyncio.gather(*(messages.cursor_key() for _ in range(5)))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32


async def test_writing_nothing_is_fine(messages: Messages) -> None:
    await messages.write([])
    assert await _history(messages) == []


async def test_many_writers_at_once_lose_nothing(messages: Messages) -> None:
    written = _series(200)
    await asyncio.gather(*(messages.write([message]) for message in written))
    assert await _history(messages) == written[::-1]


async def test_a_message_that_two_writers_write_under_two_numbers_at_once_ends_once(messages: Messages) -> None:
    written = _series(20)
    moved = [msgspec.structs.replace(message, seq=message.seq + 100) for message in written]
    await asyncio.gather(*(messages.write([message]) for pair in zip(written, moved, strict=True) for message in pair))
    assert await _history(messages) == moved[::-1]
    assert await messages.position_of("general", written[0].message_id) == _at(moved[0])


async def test_pages_find_what_is_far_apart_in_the_log(messages: Messages) -> None:
    far = 20_000_000
    written = [in_history(part * far + number) for part in range(1, 11) for number in range(12)]
    await messages.write(written)
    seen: list[StoredMessage] = []
    while page := await messages.history("general", before=_at(seen[-1]) if seen else None, limit=25):
        seen += page.messages
        if page.next_seq is None:
            break
        assert len(page.messages) == 25
    assert seen == written[::-1]
    caught_up = [written[0]]
    while (page := await messages.history("general", after=_at(caught_up[-1]), limit=25)).messages:
        caught_up += page.messages[::-1]
    assert caught_up == written
    assert await messages.history("general", before=_at(written[0])) == Page([])
    assert await messages.history("general", before=Position(far // 2)) == Page([])


async def test_an_open_store_answers(messages: Messages) -> None:
    await messages.ping()


async def test_the_newest_place_of_the_log_is_kept_with_the_messages(messages: Messages) -> None:
    assert await messages.newest_place() is None
    await messages.write([in_history(7)], LogPlace(7, 1_700_000_000_000_000_001))
    await messages.write([in_history(3)], LogPlace(3, 1))  # comes again
    await messages.write([in_history(8)])
    assert await messages.newest_place() == LogPlace(7, 1_700_000_000_000_000_001)


def _replies(thread_id: str, seqs: range, **fields: Any) -> list[StoredMessage]:
    """Replies to a thread, in the order of the log."""
    return [in_history(seq, text=f"reply {seq}", thread_id=thread_id, **fields) for seq in seqs]


async def test_a_reply_of_a_thread_alone_is_in_no_history(messages: Messages) -> None:
    root, later = in_history(1), in_history(5)
    replies = _replies(root.message_id, range(2, 5))
    await messages.write([root, *replies, later])
    assert await _history(messages) == [later, root]
    assert await messages.replies(root.message_id) == Page(replies)
    assert await messages.reply_count(root.message_id) == 3


async def test_a_reply_that_was_sent_to_the_channel_too_is_in_both(messages: Messages) -> None:
    root = in_history(1)
    (alone,) = _replies(root.message_id, range(2, 3))
    (both,) = _replies(root.message_id, range(3, 4), also_send_to_channel=True)
    await messages.write([root, alone, both])
    assert await _history(messages) == [both, root]
    assert await messages.replies(root.message_id) == Page([alone, both])
    assert await messages.reply_count(root.message_id) == 2


async def test_a_thread_that_nobody_replied_to_is_empty(messages: Messages) -> None:
    root = in_history(1)
    await messages.write([root])
    assert await messages.replies(root.message_id) == Page([])
    assert await messages.reply_count(root.message_id) == await messages.reply_count(new_message_id()) == 0


async def test_replies_that_come_again_count_once(messages: Messages) -> None:
    root = in_history(1)
    replies = _replies(root.message_id, range(2, 22)) + _replies(
        root.message_id, range(22, 42), also_send_to_channel=True
    )
    await messages.write([root, *replies])
    await messages.write(replies[10:30])
    await messages.write([replies[0], replies[0]])
    await asyncio.gather(*(messages.write([reply]) for reply in replies))
    assert (await messages.replies(root.message_id)).messages == replies
    assert await messages.reply_count(root.message_id) == 40


async def test_a_reply_moves_to_a_higher_place_and_counts_once(messages: Messages) -> None:
    root = in_history(1)
    alone, both = _replies(root.message_id, range(2, 3))[0], _replies(root.message_id, range(3, 4))[0]
    both = msgspec.structs.replace(both, also_send_to_channel=True)
    await messages.write([root, alone, both])
    moved = [msgspec.structs.replace(each, seq=each.seq + 10_000_000) for each in (both, alone)]
    await asyncio.gather(*(messages.write([each]) for each in (*moved, alone, both)))
    in_order = sorted(moved, key=_at)
    assert (await messages.replies(root.message_id)).messages == in_order
    assert await _history(messages) == [moved[0], root]
    assert await messages.reply_count(root.message_id) == 2
    assert await messages.position_of("general", alone.message_id) == _at(moved[1])


async def test_replies_of_several_writers_at_once_are_all_counted(messages: Messages) -> None:
    root = in_history(1)
    replies = _replies(root.message_id, range(2, 202))
    await messages.write([root])
    await asyncio.gather(*(messages.write([reply]) for reply in replies for _ in range(2)))
    assert await messages.reply_count(root.message_id) == 200
    assert (await messages.replies(root.message_id, limit=1_000)).messages == replies


async def test_pages_of_a_thread_go_on_to_the_end(messages: Messages) -> None:
    root, other = in_history(1), in_history(2)
    starts = [part * 9_000_000 + 3 for part in range(5)]
    replies = [reply for start in starts for reply in _replies(root.message_id, range(start, start + 7))]
    await messages.write([root, other, *replies, *_replies(other.message_id, range(60, 65))])
    seen: list[StoredMessage] = []
    while page := await messages.replies(root.message_id, after=_at(seen[-1]) if seen else None, limit=4):
        seen += page.messages
        if page.next_seq is None:
            break
        assert (len(page.messages), page.next_seq) == (4, replies[len(seen)].seq)
    assert seen == replies
    assert await messages.replies(root.message_id, after=_at(replies[-1])) == Page([])
    assert await messages.replies(root.message_id, limit=0) == Page([])
    assert await messages.reply_count(root.message_id) == len(replies)


async def test_a_page_of_a_thread_holds_at_most_the_bytes(messages: Messages) -> None:
    root = in_history(1)
    replies = _replies(root.message_id, range(2, 6))
    await messages.write([root, *replies])
    two = sum(len(encode(reply)) + 1 for reply in replies[:2])
    assert await messages.replies(root.message_id, max_bytes=two) == Page(replies[:2], next_seq=replies[2].seq)
    assert await messages.replies(root.message_id, max_bytes=1) == Page(replies[:1], next_seq=replies[1].seq)


async def test_the_index_says_where_a_message_is_and_of_which_thread(messages: Messages) -> None:
    root, elsewhere = in_history(1), in_history(2, "random")
    alone, both = _replies(root.message_id, range(3, 5))
    both = msgspec.structs.replace(both, also_send_to_channel=True)
    await messages.write([root, elsewhere, alone, both])
    assert await messages.index_entry(root.message_id) == IndexEntry("general", _at(root), None, "alice")
    assert await messages.index_entry(elsewhere.message_id) == IndexEntry("random", _at(elsewhere), None, "alice")
    for reply in (alone, both):
        assert await messages.index_entry(reply.message_id) == IndexEntry(
            "general", _at(reply), root.message_id, "alice"
        )
    assert await messages.index_entry(new_message_id()) is None


async def test_replies_are_counted_between_two_numbers(messages: Messages) -> None:
    root, far = in_history(1), 9_000_000
    seqs = [2, 3, 4, far, far + 1, 3 * far]
    await messages.write([root, *(in_history(seq, thread_id=root.message_id) for seq in seqs)])
    for after in (-1, 0, 2, 3, far, 3 * far, 4 * far):
        assert await messages.reply_count(root.message_id, after=after) == sum(seq > after for seq in seqs)
        for upto in (0, 3, 4, far, 2 * far, 3 * far):
            expected = sum(after < seq <= upto for seq in seqs)
            assert await messages.reply_count(root.message_id, after=after, upto=upto) == expected
