"""What the table of accelerators promises: each row sourced and plausible, each name found or explained."""

import re

import pytest

from scaling_transformers.accounting import accelerator, accelerators

NAMES = ["V100", "A100", "H100", "H200", "B200", "TPU v3", "TPU v4", "TPU v5e", "TPU v5p", "MI300X"]


def test_the_table_lists_the_accelerators_each_with_the_document_of_its_maker():
    assert [chip.name for chip in accelerators()] == NAMES
    assert all(
        re.search(r"^(NVIDIA|AMD|Google) .*(sheet|brief|documentation)", c.source) for c in accelerators()
    )


@pytest.mark.parametrize("chip", accelerators(), ids=NAMES)
def test_every_figure_has_the_right_unit(chip):
    """A slip of 1000 in any column, or a peak with sparsity, falls out of these ranges."""
    assert 1e14 <= chip.peak_flops <= 3e15
    assert 5e11 <= chip.bandwidth <= 1e13
    assert 1e10 <= chip.memory_bytes <= 2e11
    assert chip.power_w is None or 150 <= chip.power_w <= 1000
    assert 2017 <= chip.year <= 2024
    assert 100 < chip.ridge < 300  # between a hundred and three hundred on every chip since 2017


def test_dense_peaks_follow_from_tensor_cores_and_clock():
    """NVIDIA's own arithmetic: tensor cores x fused multiply-adds of each a clock x 2 x boost clock."""
    assert accelerator("V100").peak_flops == pytest.approx(640 * 64 * 2 * 1.53e9, rel=0.005)
    assert accelerator("A100").peak_flops == pytest.approx(432 * 256 * 2 * 1.41e9, rel=0.005)
    assert accelerator("H100").peak_flops == pytest.approx(528 * 512 * 2 * 1.83e9, rel=0.005)
    assert accelerator("H200").peak_flops == accelerator("H100").peak_flops  # the same chip, other memory


def test_power_is_none_where_the_maker_states_none():
    assert [chip.name for chip in accelerators() if chip.power_w is None] == ["TPU v5e", "TPU v5p"]


@pytest.mark.parametrize("name", ["h100", "H100", "tpu V5E", "mi300x"])
def test_capitals_do_not_matter(name):
    assert accelerator(name).name.lower() == name.lower()


@pytest.mark.parametrize(("name", "near"), [("A10", "A100"), ("tpu-v4", "TPU v4"), ("MI300", "MI300X")])
def test_an_unknown_name_lists_the_near_ones(name, near):
    with pytest.raises(
        ValueError, match=f"name must be that of an accelerator; got .*did you mean .*'{near}'"
    ):
        accelerator(name)


@pytest.mark.parametrize("name", ["zzz", None, 7, ["A100", "zzzzzzzzz"]])
def test_a_name_near_to_none_lists_all(name):
    with pytest.raises(ValueError, match=r"name must .*'V100', 'A100'"):
        accelerator(name)
