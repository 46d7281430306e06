"""Deviation from targets, bands and where a breach is traded back to."""

from decimal import Decimal as D

import pytest

from analytics.calculations.drift import (
    Band,
    BandRule,
    band_destination,
    improvement_range,
    line_drift,
    portfolio_drift,
)


def test_c1_portfolio_drift_is_half_the_sum_of_deviations() -> None:
    weights = dict(zip("abcd", map(D, (30, 20, 30, 20)), strict=True))
    targets = dict.fromkeys("abcd", D(25))
    assert portfolio_drift(weights, targets) == 10


def test_drift_counts_cash_and_what_is_held_without_a_target() -> None:
    weights = {"a": D(40), "stranger": D(30), "cash": D(30)}
    targets = {"a": D(50), "b": D(45), "cash": D(5)}
    assert portfolio_drift(weights, targets) == (10 + 30 + 45 + 25) / D(2)


def test_c2_absolute_and_relative_deviation() -> None:
    fixed_income = line_drift(D(45), Band(target=D(50)))
    large_cap = line_drift(D(6), Band(target=D(10)))
    assert (abs(fixed_income.deviation), abs(fixed_income.relative or 0)) == (D(5), D(10))
    assert (abs(large_cap.deviation), abs(large_cap.relative or 0)) == (D(4), D(40))


def test_relative_deviation_is_undefined_at_target_zero() -> None:
    assert line_drift(D(3), Band(target=D(0))).relative is None


@pytest.mark.parametrize(("share", "low", "high"), [("0.5", "4", "6"), ("0.25", "4.5", "5.5")])
def test_c3_improvement_percentage(share: str, low: str, high: str) -> None:
    assert improvement_range(D(3), D(5), D(share)) == (D(low), D(high))


@pytest.mark.parametrize(
    ("weight", "breached"), [("72", False), ("72.000001", True), ("48", False), ("47.999999", True)]
)
def test_c5_exactly_on_the_edge_is_no_breach(weight: str, breached: bool) -> None:
    assert line_drift(D(weight), Band(target=D(60), relative=D(20))).breached is breached


def test_c5_destinations_of_daryanani_and_vanguard() -> None:
    daryanani = Band(target=D(60), relative=D(20))
    assert band_destination(D(73), daryanani, "inner") == 66
    assert band_destination(D(73), daryanani, "edge") == 72
    assert band_destination(D(73), daryanani) == 60
    vanguard = Band(target=D(60), absolute=D(2))
    assert line_drift(D("62.01"), vanguard).breached
    assert band_destination(D("62.01"), vanguard, "inner", D("0.875")) == D("61.75")


def test_the_tighter_of_two_bands_and_the_limits_hold() -> None:
    band = Band(target=D(10), minimum=D(9), maximum=D(20), absolute=D(5), relative=D(25))
    assert (band.lower, band.upper) == (D(9), D("12.5"))
    assert line_drift(D("8.9"), band).breached
    assert not line_drift(D("12.5"), band).breached


@pytest.mark.parametrize(
    ("rule", "lower", "upper"),
    [
        ("absolute", "5", "15"),
        ("relative", "7.5", "12.5"),
        ("either", "7.5", "12.5"),
        ("both", "5", "15"),
    ],
)
def test_the_rule_says_which_of_two_bands_holds(rule: BandRule, lower: str, upper: str) -> None:
    band = Band(target=D(10), absolute=D(5), relative=D(25), rule=rule)
    assert (band.lower, band.upper) == (D(lower), D(upper))
    assert not line_drift(D(upper), band).breached
    assert line_drift(D(upper) + D("1E-6"), band).breached


@pytest.mark.parametrize("rule", ["either", "both"])
def test_a_band_that_stands_alone_holds(rule: BandRule) -> None:
    assert Band(target=D(10), absolute=D(5), rule=rule).tolerance == 5
    assert Band(target=D(10), relative=D(25), rule=rule).tolerance == D("2.5")


def test_a_rule_without_its_band_leaves_the_limits() -> None:
    band = Band(target=D(10), maximum=D(40), relative=D(25), rule="absolute")
    assert (band.tolerance, band.upper) == (None, D(40))
    assert Band(target=D(10), absolute=D(5), rule="relative").tolerance is None


@pytest.mark.parametrize("rule", ["relative", "either", "both"])
def test_at_target_zero_the_absolute_band_takes_the_relative_one_s_place(rule: BandRule) -> None:
    band = Band(target=D(0), absolute=D(2), relative=D(25), rule=rule)
    assert band.tolerance == 2
    assert line_drift(D("2.1"), band).breached
    assert not line_drift(D(2), band).breached


@pytest.mark.parametrize(("fraction", "destination"), [("0", "60"), ("0.5", "66"), ("1", "72")])
def test_the_inner_edge_is_a_fraction_of_the_way_to_the_edge(fraction: str, destination: str) -> None:
    band = Band(target=D(60), relative=D(20))
    assert band_destination(D(80), band, "inner", D(fraction)) == D(destination)
    assert band_destination(D(40), band, "inner", D(fraction)) == 120 - D(destination)
