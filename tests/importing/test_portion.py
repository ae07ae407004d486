"""The rows of a write: fewer after failures, and as many as before after successes."""

from services.importing.portion import AFTER_SUCCESSES, Portion


def test_a_failure_makes_it_a_quarter_and_never_none() -> None:
    portion, seen = Portion(500), []
    for _ in range(6):
        portion.failed()
        seen.append(portion.rows)
    assert seen == [125, 31, 7, 1, 1, 1]


def test_many_successes_bring_it_back_and_not_above() -> None:
    portion, seen = Portion(500), []
    portion.failed()
    for _ in range(3 * AFTER_SUCCESSES):
        seen.append(portion.rows)
        portion.succeeded()
    assert seen == [125] * AFTER_SUCCESSES + [250] * AFTER_SUCCESSES + [500] * AFTER_SUCCESSES
    assert portion.rows == 500


def test_successes_are_counted_from_the_last_failure() -> None:
    portion = Portion(500)
    portion.failed()
    for _ in range(AFTER_SUCCESSES - 1):
        portion.succeeded()
    portion.failed()
    portion.succeeded()
    assert portion.rows == 31
