"""The oracle of barrier labels, held to cases small enough to be worked by hand."""

from tests.kernels.barrier_oracle import End, Event, follow

LONG = Event(1, 100.0, 90.0, (110.0, 120.0), start=0, timeout=3)
QUIET = (100.0, 105.0, 95.0, 101.0)


def ended(event: Event, bars: dict[int, tuple[float, float, float, float]], *finer) -> tuple:
    end = follow(event, [(1 if not finer else 4, bars), *finer])
    return (end.reason, end.price, end.at, end.targets_hit, end.ambiguous)


def test_a_bar_that_touches_both_sides_ends_at_the_stop_and_says_so():
    assert ended(LONG, {0: (100.0, 115.0, 85.0, 100.0)}) == ("sl", 90.0, 1, 0, True)


def test_finer_bars_that_cover_it_tell_which_side_came_first():
    both = {0: (100.0, 115.0, 85.0, 100.0)}
    up_first = {0: QUIET, 1: (101.0, 112.0, 100.5, 110.0), 2: (110.0, 115.0, 98.0, 99.0), 3: (99.0, 99.0, 85.0, 100.0)}
    assert ended(LONG, both, (1, up_first)) == ("breakeven", 100.0, 3, 1, False)
    del up_first[1]
    assert ended(LONG, both, (1, up_first)) == ("sl", 90.0, 4, 0, True)


def test_an_open_beyond_a_level_is_filled_there():
    assert ended(LONG, {0: QUIET, 1: (80.0, 130.0, 70.0, 80.0)}) == ("sl", 80.0, 1, 0, False)
    assert ended(LONG, {0: QUIET, 1: (125.0, 130.0, 70.0, 80.0)}) == ("target", 125.0, 1, 2, False)


def test_the_stop_moves_to_the_entry_after_the_first_target():
    bars = {0: (101.0, 111.0, 100.5, 108.0), 1: (108.0, 109.0, 99.0, 99.0)}
    assert ended(LONG, bars) == ("breakeven", 100.0, 2, 1, False)


def test_a_bar_that_reaches_the_first_target_and_the_entry_ends_at_the_entry_and_says_so():
    unsure = {0: (101.0, 115.0, 99.0, 105.0)}
    assert ended(LONG, unsure) == ("breakeven", 100.0, 1, 1, True)
    assert follow(LONG, [(1, unsure)]) == End("breakeven", 100.0, 1, 1, True, 1, 110.0, 100.0, 1)
    above = {0: (101.0, 115.0, 100.5, 105.0)}
    assert ended(LONG, above)[0] is None
    short = Event(-1, 100.0, 110.0, (90.0, 80.0), start=0, timeout=9)
    assert ended(short, {0: (99.0, 101.0, 79.0, 80.0)}) == ("breakeven", 100.0, 1, 1, True)
    assert ended(Event(1, 100.0, 90.0, (110.0,), 0, 3), unsure) == ("target", 110.0, 1, 1, False)
    assert ended(Event(1, 100.0, 90.0, (110.0, 120.0), 0, 1, False), unsure) == ("timeout", 105.0, 1, 1, False)


def test_finer_bars_tell_whether_it_came_back_to_the_entry_before_the_target_or_after_it():
    unsure = {0: (101.0, 115.0, 99.0, 105.0), 4: (105.0, 121.0, 104.0, 120.0)}
    late = Event(1, 100.0, 90.0, (110.0, 120.0), start=0, timeout=9)
    low_first = {0: (101.0, 101.0, 99.0, 101.0), 1: (101.0, 115.0, 101.0, 110.0), 2: (110.0, 110.0, 104.0, 105.0)}
    low_first[3] = (105.0, 106.0, 104.0, 105.0)
    assert follow(late, [(4, unsure), (1, low_first)]) == End("target", 120.0, 8, 2, False, 2, 120.0, 99.0, 2)
    high_first = {**low_first, 0: (101.0, 115.0, 101.0, 110.0), 1: (110.0, 110.0, 99.0, 101.0)}
    assert ended(late, unsure, (1, high_first)) == ("breakeven", 100.0, 2, 1, False)
    del low_first[3]
    assert ended(late, unsure, (1, low_first)) == ("breakeven", 100.0, 4, 1, True)


def test_a_missing_bar_is_never_a_win_or_a_loss():
    assert ended(LONG, {0: QUIET, 2: (80.0, 130.0, 70.0, 80.0)})[:2] == ("gap", None)


def test_bars_that_end_too_early_leave_it_unresolved_and_the_timeout_takes_the_last_close():
    assert follow(LONG, [(1, {0: QUIET})]) == End(None, best=105.0, worst=95.0, bars=1)
    assert ended(LONG, dict.fromkeys(range(5), QUIET)) == ("timeout", 101.0, 3, 0, False)


def test_a_short_mirrors_a_long_and_the_last_target_ends_it():
    short = Event(-1, 100.0, 110.0, (90.0, 80.0), start=0, timeout=3)
    assert ended(short, {0: (99.0, 99.5, 79.0, 80.0)}) == ("target", 80.0, 1, 2, False)


def test_a_start_inside_a_bar_uses_finer_bars_from_there_on_and_nothing_from_before():
    late = Event(1, 100.0, 90.0, (110.0,), start=2, timeout=9)
    bars = {0: (100.0, 130.0, 85.0, 100.0), 4: QUIET}
    assert follow(late, [(4, bars)]).reason is None
    rest = {2: QUIET, 3: (101.0, 111.0, 100.0, 105.0)}
    assert ended(late, bars, (1, rest)) == ("target", 110.0, 4, 1, False)


def test_finer_bars_with_a_gap_never_let_it_pass_over_a_level_that_they_reach():
    late = Event(1, 100.0, 90.0, (110.0,), start=1, timeout=9)
    bars = {0: (100.0, 105.0, 85.0, 100.0), 4: (100.0, 111.0, 99.0, 110.0)}
    assert ended(late, bars, (1, {1: QUIET, 3: QUIET})) == ("target", 110.0, 8, 1, False)
    assert ended(late, bars, (1, {1: QUIET, 3: (100.0, 101.0, 85.0, 100.0)}))[:2] == ("gap", None)
