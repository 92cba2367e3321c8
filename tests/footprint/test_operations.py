"""Energy inside a chip: published figures, and sums by hand."""

import pytest

from scaling_transformers import preset
from scaling_transformers.accounting import arithmetic_intensity
from scaling_transformers.footprint import operation, operation_energy, operations


def test_a_float32_product_at_45_nm_costs_what_horowitz_says():
    """3.7 + 0.9 pJ for a product and a sum, 1.3 to 2.6 nJ for 8 bytes of DRAM."""
    energy = operation_energy(
        flops_by_part={"a": 2e12, "b": 0.0},
        bytes_by_part={"a": 0.0, "b": 8e9},
        multiply="float32",
        add="float32",
        memory="DRAM",
        node_nm=45,
    )
    assert energy.arithmetic_by_part == pytest.approx({"a": 4.6, "b": 0.0})
    assert energy.memory_by_part == pytest.approx({"a": 0.0, "b": 1.95})
    assert energy.total == pytest.approx(6.55)
    assert energy.memory_share == pytest.approx(1.95 / 6.55)


def test_the_energy_of_a_pass_is_that_of_its_totals():
    step = arithmetic_intensity(preset("llama-2-7b"), batch=4, seq_len=512)
    energy = operation_energy(flops_by_part=step.flops_by_part, bytes_by_part=step.bytes_by_part)
    assert energy.arithmetic == pytest.approx(step.flops * (0.21 + 0.38) / 2 * 1e-12)
    assert energy.memory == pytest.approx(step.bytes * 350 / 8 * 1e-12)


def test_writing_moves_bytes_and_reading_multiplies():
    def share(n_new):
        step = arithmetic_intensity(preset("llama-2-7b"), batch=1, seq_len=2048, n_new=n_new)
        return operation_energy(
            flops_by_part=step.flops_by_part, bytes_by_part=step.bytes_by_part
        ).memory_share

    assert share(1) > 0.9 > 0.5 > share(None)


def test_every_operation_has_a_source_and_smaller_nodes_cost_less():
    rows = {(row.operation, row.node_nm): row for row in operations()}
    assert len(rows) == len(operations())
    for (name, node), row in rows.items():
        assert row.source.startswith(("Horowitz 2014", "Jouppi et al. 2021"))
        assert (row.bytes > 0) == name.startswith("access")
        assert row.low is None or 2 * row.picojoule == row.low + row.high
        if node == 45 and (name, 7) in rows:
            assert rows[name, 7].picojoule < row.picojoule


def test_nothing_done_costs_nothing():
    assert operation_energy(flops_by_part={"a": 0.0}, bytes_by_part={"a": 0.0}).memory_share == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flops_by_part": {"b": 1.0}}, r"must have the same parts; got \['a', 'b'\]"),
        ({"flops_by_part": {"a": -1.0}}, "flops_by_part must"),
        ({"node_nm": 5}, "node_nm must be one of 7, 45; got 5"),
        ({"memory": "HBM9"}, "name must be that of an operation at 7 nm; .*'access HBM2'"),
        ({"node_nm": 45}, "name must be that of an operation at 45 nm; got 'multiply bfloat16'"),
    ],
)
def test_wrong_input_is_explained(wrong, message):
    with pytest.raises(ValueError, match=message):
        operation_energy(**({"flops_by_part": {"a": 1.0}, "bytes_by_part": {"a": 1.0}} | wrong))


def test_one_operation_is_found_by_name():
    assert operation("multiply bfloat16").picojoule == 0.21
