"""A resume point can be kept, and what was not kept by this module is refused."""

import pytest

from fanout.client import InvalidResumePoint, ResumePoint


@pytest.mark.parametrize("point", [ResumePoint(0), ResumePoint(5, {3: 7}, "log"), ResumePoint(5, ahead={"c": 9})])
def test_it_is_the_same_after_it_was_kept(point: ResumePoint) -> None:
    assert ResumePoint.decode(point.encode()) == point


@pytest.mark.parametrize(
    "kept",
    [b"", b"{}", b"[]", b'{"seq":-1}', b'{"seq":1,"parts":{"a":1}}', b'{"seq":1,"parts":{"-3":1}}', b"[" * 99999],
)
def test_other_bytes_are_refused(kept: bytes) -> None:
    with pytest.raises(InvalidResumePoint):
        ResumePoint.decode(kept)
