"""Households, grids and assumptions: each with its source, each name found or explained."""

import pytest

from scaling_transformers.footprint import (
    default,
    defaults,
    grid,
    grids,
    household,
    household_table,
    households,
)


def test_gpt3_took_the_electricity_of_a_hundred_american_households():
    """1,287 MWh (Patterson et al. 2021) over 10,791 kWh (U.S. Energy Information Administration, 2022)."""
    assert households(1_287_000, region="US") == pytest.approx(1_287_000 / 10_791)
    assert households(1_287_000, region="EU") > 2 * households(1_287_000, region="US")


def test_every_figure_has_a_source_and_the_right_unit():
    assert all(row.source and 500 < row.kwh_per_year < 30_000 for row in household_table())
    assert all(row.source and 1 <= row.g_co2e_per_kwh <= 1500 for row in grids())
    for row in defaults():
        assert row.source
        assert row.unit
        assert (row.low is None) == (row.high is None)
        assert row.low is None or row.low <= row.value <= row.high


def test_the_latest_figure_of_a_place_is_taken():
    assert household("US").year == max(row.year for row in household_table() if row.region == "US")
    assert grid("France").g_co2e_per_kwh < grid("Poland").g_co2e_per_kwh


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda: households(1.0, region="Mars"), "name must be that of a region; got 'Mars'"),
        (lambda: households(1.0, region=["US"]), "name must be that of a region"),
        (lambda: households(-1.0), "energy_kwh must .*at least 0 kWh"),
        (lambda: grid("Frnace"), "did you mean 'France'"),
        (lambda: default("pues"), "did you mean 'pue'"),
        (lambda: default("device_use").range, "device_use must be given a range by hand"),
    ],
)
def test_a_wrong_name_or_number_is_explained(find, message):
    with pytest.raises(ValueError, match=message):
        find()
