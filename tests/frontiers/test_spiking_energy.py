"""Energies by hand from Horowitz's table, and the even rate against a search for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.frontiers.spiking_energy import (
    FORMATS,
    Prices,
    Work,
    break_even_spikes,
    energy_pj,
    neuromorphic_chips,
    prices,
)


def test_prices_are_those_of_the_table_by_hand():
    assert prices() == pytest.approx((4.6, 0.9, 5.5, 0.0))
    assert prices(memory="SRAM 32 KB") == pytest.approx((4.6, 0.9, 5.5, 10.0))  # 20 pJ for 8 bytes
    assert prices(number="int8", memory="SRAM 32 KB") == pytest.approx((0.3, 0.1, 0.4, 2.5))
    assert prices(node_nm=7, memory="SRAM 1 MB") == pytest.approx((1.69, 0.38, 2.07, 7.0))


def test_energy_is_each_count_times_its_price():
    work = Work(products=2, accumulates=3, updates=5, weights_shared=7, weights_each=11, state=13)
    paid = Prices(1.0, 10.0, 100.0, 1000.0)
    assert energy_pj(work, paid) == 2 + 30 + 500 + 20_000
    assert energy_pj(work, paid, shared=False) == 2 + 30 + 500 + 24_000
    assert energy_pj(work + work, paid) == 2 * energy_pj(work, paid)


@settings(deadline=None, derandomize=True)
@given(
    n_time=st.integers(1, 16),
    fan_out=st.integers(1, 4096),
    reuse=st.floats(1, 1000),
    number=st.sampled_from(list(FORMATS)),
    memory=st.sampled_from([None, "SRAM 8 KB", "SRAM 1 MB", "DRAM"]),
)
def test_at_the_even_rate_both_neurons_cost_the_same(n_time, fan_out, reuse, number, memory):
    paid = prices(number=number, memory=memory)
    spikes = float(break_even_spikes(paid, fan_out=fan_out, n_time=n_time, reuse=reuse))
    dense = fan_out * (paid.product + paid.access / reuse) + paid.update + 2 * paid.access
    spiking = spikes * fan_out * (paid.accumulate + paid.access) + n_time * (paid.update + 2 * paid.access)
    assert spiking == pytest.approx(dense)


def test_without_memory_and_with_many_weights_the_even_rate_is_the_ratio_of_the_operations():
    assert break_even_spikes(prices(), fan_out=1e12) == pytest.approx(4.6 / 0.9)
    many = break_even_spikes(prices(), fan_out=[1, 10, 100], n_time=8)
    assert np.all(np.diff(many) > 0)
    assert many[0] < 0  # the updates of eight steps alone cost more than one product


def test_chips_have_their_published_energies_and_say_what_kind_they_are():
    chips = neuromorphic_chips()
    assert {chip.name for chip in chips} == {"TrueNorth", "Loihi"}
    assert all(chip.source and chip.basis.split(":")[0] in ("measured", "simulated") for chip in chips)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="a number format"):
        prices(number="float8")
    with pytest.raises(ValueError, match="an operation at 45 nm"):
        prices(memory="HBM2")
    with pytest.raises(ValueError, match="products must be a finite number at least 0"):
        Work(products=-1)
    with pytest.raises(ValueError, match="fan_out must be at least 1; got 0"):
        break_even_spikes(prices(), fan_out=0)
    with pytest.raises(ValueError, match=r"n_time must be at least 1; got 0\.5"):
        break_even_spikes(prices(), fan_out=3, n_time=0.5)
    with pytest.raises(ValueError, match="reuse must be"):
        break_even_spikes(prices(), fan_out=3, reuse=0.5)
