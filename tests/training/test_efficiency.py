"""What the measurements promise: the same texts for all, counts as built, and the same table every time."""

import numpy as np
import pytest

from scaling_transformers import TransformerConfig
from scaling_transformers.efficiency import lora_parameters, quantized_bytes, shared_parameters
from scaling_transformers.training import efficiency, language_reference, small_models, validation_loss
from scaling_transformers.training.efficiency import Way
from scaling_transformers.training.record import read_runs

CONFIG = small_models.CONFIGS[2]


def test_the_losses_of_texts_have_the_mean_that_validation_reports():
    model, text = small_models.load(n_layer=1, seed=0), language_reference().validation
    losses = efficiency.text_losses(model, text, n_text=20, seed=3)
    assert losses.shape == (20,)
    assert losses.mean() == pytest.approx(validation_loss(model, text, n=128, n_text=20, seed=3), rel=1e-5)
    assert efficiency.standard_error(losses) == pytest.approx(losses.std() / 19**0.5)


def test_rounding_is_measured_against_the_whole_model_on_the_same_texts():
    table = efficiency.quantization_losses(precisions=((8, None), (2, 32)), seeds=(1,), n_text=16)
    assert table["bits"].tolist() == [32, 8, 2]
    assert table["group_size"].tolist() == [0, 0, 32]
    assert table["increase"][0] == table["increase_error"][0] == 0
    np.testing.assert_allclose(table["loss"] - table["loss"][0], table["increase"], atol=1e-12)
    assert abs(table["increase"][1]) < 0.01 < 0.5 < table["increase"][2]
    assert table["increase_error"][1] < table["loss_error"][1] / 10  # text by text
    assert table["n_bytes"][1] == quantized_bytes(CONFIG, bits=8, bytes_per_element=4)
    assert table["n_bytes"][2] == quantized_bytes(CONFIG, bits=2, group_size=32, bytes_per_element=4)


def adapt(n_step):
    ways = (Way(0, (), 1e-3), Way(2, ("query", "down"), 3e-2))
    return efficiency.adaptation_losses(ways=ways, seeds=(0,), n_step=n_step, n_text=8)


def test_each_way_starts_from_the_same_model_and_learns():
    table = adapt(16)
    assert table["rank"].tolist() == [0, 2]
    assert table["targets"].tolist() == ["", "query down"]
    trained = lora_parameters(CONFIG, rank=2, targets=("query", "down"))
    assert table["n_trained"].tolist() == [shared_parameters(CONFIG, group=1), trained]
    assert len(set(table["before"])) == len(set(table["code_before"])) == 1
    assert (table["after"] < table["before"] - 0.01).all()


def test_a_measurement_repeats_to_the_bit():
    tables = [(adapt(1), efficiency.sharing_losses(seeds=(0,), n_step=1, n_text=4)) for _ in range(2)]
    for first, second in zip(*tables, strict=True):
        np.testing.assert_array_equal(first, second)


def test_models_that_share_hold_what_was_counted():
    table = efficiency.sharing_losses(shared=((3, 1), (3, 2)), seeds=(0, 1), n_step=1, n_text=4)
    config = TransformerConfig(3, 64, 4, vocab_size=256, n_ctx=128)
    assert table["n_params"].tolist() == [shared_parameters(config, group=group) for group in (1, 2)] * 2
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert len(set(table["loss"])) == 4


def test_the_shipped_sharing_runs_are_those_that_the_command_makes(tmp_path):
    efficiency.make_sharing(tmp_path, n_step=1, seeds=(0,))
    made = read_runs(tmp_path)
    shipped, record = efficiency.recorded_sharing()
    assert made.dtype.names == shipped.dtype.names
    first = shipped[shipped["seed"] == 0]
    for column in ("n_layer", "group", "n_params"):
        assert made[column].tolist() == first[column].tolist()
    assert record["n_step"] > 1
    assert (first["loss"] < made["loss"]).all()  # longer training helped
