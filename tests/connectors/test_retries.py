"""Retries: outcome and attempt number in, decision and delay out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.retries import (
    RetryPolicy,
    compile_statuses,
    delay_before_next,
    is_passing,
    is_success,
    parse_retry_after,
)

NOW = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=8, first_delay_seconds=5, factor=3, max_delay_seconds=3600)


def without_jitter(low, high):
    assert low <= 1.0 <= high
    return 1.0


@pytest.mark.parametrize(
    ("status", "success", "passing"),
    [
        (200, True, False),
        (201, True, False),
        (202, True, False),
        (204, True, False),
        (299, True, False),
        (101, False, False),  # not HTTP any more
        (199, False, False),
        (300, False, False),  # redirects are never followed
        (301, False, False),
        (304, False, False),
        (307, False, False),
        (308, False, False),
        (400, False, False),
        (401, False, False),  # a wrong key stays wrong
        (403, False, False),
        (404, False, False),
        (407, False, False),
        (408, False, True),  # request timeout
        (409, False, False),
        (410, False, False),
        (422, False, False),
        (424, False, False),
        (425, False, True),  # too early
        (426, False, False),
        (429, False, True),  # too many requests
        (499, False, False),
        (500, False, True),
        (501, False, True),  # C6 says all of 5xx
        (502, False, True),
        (503, False, True),
        (504, False, True),
        (599, False, True),
    ],
)
def test_status_decides_between_success_passing_and_permanent(status, success, passing):
    assert is_success(status) is success
    assert is_passing(status) is passing


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [
        (1, 5.0),  # the first delay
        (2, 15.0),  # times the factor
        (3, 45.0),
        (6, 1215.0),
        (7, 3600.0),  # 3645 is above the maximum
        (8, None),  # used up
        (9, None),  # also when somebody counted on
    ],
)
def test_delays_grow_up_to_the_maximum_until_attempts_are_used_up(attempts, delay):
    assert delay_before_next(POLICY, attempts, uniform=without_jitter) == delay


def test_policy_of_one_attempt_never_tries_again():
    policy = RetryPolicy(max_attempts=1, first_delay_seconds=5, factor=3, max_delay_seconds=3600)

    assert delay_before_next(policy, 1, retry_after=1.0) is None


def test_factor_of_one_keeps_the_delay():
    policy = RetryPolicy(max_attempts=99, first_delay_seconds=2, factor=1, max_delay_seconds=60)

    assert {delay_before_next(policy, attempts, uniform=without_jitter) for attempts in range(1, 99)} == {2.0}


def test_delay_too_large_for_a_float_is_the_maximum():
    policy = RetryPolicy(max_attempts=10_000, first_delay_seconds=5, factor=10.0, max_delay_seconds=3600)

    assert delay_before_next(policy, 9_000, uniform=without_jitter) == 3600.0


@pytest.mark.parametrize(
    ("attempts", "retry_after", "delay"),
    [
        (1, None, 5.0),  # nothing asked for
        (1, 0.0, 5.0),  # sooner than the policy: the policy holds
        (1, 4.0, 5.0),
        (1, 60.0, 60.0),  # later: waited for, to the second
        (1, 3600.0, 3600.0),
        (1, 1e9, 3600.0),  # no further than the maximum
        (7, 60.0, 3600.0),
    ],
)
def test_retry_after_is_honoured_between_the_delay_and_the_maximum(attempts, retry_after, delay):
    assert delay_before_next(POLICY, attempts, retry_after=retry_after, uniform=without_jitter) == delay


@pytest.mark.parametrize(
    ("uniform", "delay"),
    [
        (min, 4.0),  # a fifth less
        (max, 6.0),  # a fifth more
    ],
)
def test_jitter_moves_the_delay_by_a_fifth(uniform, delay):
    assert delay_before_next(POLICY, 1, uniform=uniform) == pytest.approx(delay)


@pytest.mark.parametrize(("uniform", "delay"), [(min, 2880.0), (max, 3600.0)])
def test_jitter_stays_within_the_maximum(uniform, delay):
    assert delay_before_next(POLICY, 7, uniform=uniform) == pytest.approx(delay)


def test_no_delay_stays_no_delay():
    policy = RetryPolicy(max_attempts=3, first_delay_seconds=0, factor=2, max_delay_seconds=0)

    assert delay_before_next(policy, 1) == 0


@pytest.mark.parametrize(
    ("given", "status", "meaning"),
    [
        ({}, 200, "success"),
        ({}, 302, "permanent"),
        ({}, 503, "passing"),
        ({"success": [409]}, 409, "success"),
        ({"success": ["409"]}, 410, "permanent"),
        ({"passing": ["4xx"]}, 404, "passing"),
        ({"permanent": ["5xx"], "passing": [503]}, 503, "passing"),  # a number is stronger than a class
        ({"permanent": ["5xx"], "passing": [503]}, 500, "permanent"),
        ({"permanent": [204]}, 204, "permanent"),
    ],
)
def test_statuses_mean_what_the_route_says(given, status, meaning):
    assert compile_statuses(given).meaning(status) == meaning


@pytest.mark.parametrize(
    "given",
    [
        [409], "409", {"fine": [200]}, {"success": 409}, {"success": [199]}, {"success": [600]}, {"success": ["6xx"]},
        {"success": [True]}, {"success": [None]}, {"success": [409.5]}, {"success": ["4x"]}, {"success": ["409 "]},
        {"success": [409], "passing": ["409"]}, {"success": ["4xx"], "permanent": ["4xx"]},
    ],
)  # fmt: skip
def test_statuses_that_make_no_sense_are_refused(given):
    with pytest.raises(ValueError, match=r"It is|it is|is no status|in two lists"):
        compile_statuses(given)


def test_messages_that_failed_together_do_not_come_back_together():
    delays = {delay_before_next(POLICY, 1) for _ in range(50)}

    assert len(delays) > 1
    assert all(delay is not None and 4.0 <= delay <= 6.0 for delay in delays)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 9999999999.0),  # absurd, but a number; the policy's maximum cuts it
        ("Mon, 23 Nov 2026 08:02:00 GMT", 120.0),  # IMF-fixdate
        ("Monday, 23-Nov-26 08:02:00 GMT", 120.0),  # RFC 850
        ("Mon Nov 23 08:02:00 2026", 120.0),  # asctime, which is GMT
        ("Mon, 23 Nov 2026 09:02:00 +0100", 120.0),
        ("Mon, 23 Nov 2026 07:00:00 GMT", 0.0),  # past: at once
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),  # RFC 9110 knows whole seconds only
        ("1e3", None),
        ("٣", None),  # a digit, but not an ASCII one
        ("Mon, 32 Nov 2026 08:02:00 GMT", None),
        ("Mon, 23 Nov 99999 08:02:00 GMT", None),
        ("Mon, 23 Nov 2026 08:02:00 +9999", None),
        ("Mon, 23 Nov 2026 08:02:00 +99999999999999999999", None),  # an OverflowError inside
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


def test_retry_after_is_counted_from_the_clock_that_is_passed_in():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30))) - timedelta(seconds=10)

    assert parse_retry_after("Mon, 23 Nov 2026 08:00:00 GMT", elsewhere) == 10.0


@given(
    st.text()
    | st.from_regex(r"\A(Mon, )?[0-9]{1,4} Nov [0-9]{1,6} [0-9]{1,3}:[0-9]{1,3}:[0-9]{1,3} [+-]?[0-9]{1,30}\Z")
)
def test_no_retry_after_breaks_the_reader(value):
    seconds = parse_retry_after(value, NOW)

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("max_attempts", "first", "factor", "maximum"),
    [
        (0, 5, 3, 3600),
        (-1, 5, 3, 3600),
        (8, -1, 3, 3600),
        (8, 5, 0.9, 3600),  # delays that shrink
        (8, 5, 3, -1),
        (8, float("nan"), 3, 3600),  # `nan < 0` is false
        (8, 5, float("nan"), 3600),
        (8, 5, 3, float("nan")),
        (8, 5, 3, float("inf")),  # a delay for ever
    ],
)
def test_policy_that_makes_no_sense_is_refused(max_attempts, first, factor, maximum):
    with pytest.raises(ValueError, match="retry policy"):
        RetryPolicy(max_attempts, first, factor, maximum)


@pytest.mark.parametrize(
    ("max_attempts", "first", "factor", "maximum"),
    [
        (1, 0, 1, 0),  # once, and at once
        (3, 10, 2, 5),  # a first delay above the maximum is cut
    ],
)
def test_odd_policy_is_accepted(max_attempts, first, factor, maximum):
    policy = RetryPolicy(max_attempts, first, factor, maximum)

    delay = delay_before_next(policy, 1, uniform=without_jitter)

    assert delay is None or delay == maximum
