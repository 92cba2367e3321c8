"""What the table of published runs promises: each consistent in itself, and all predicted by one number."""

import numpy as np
import pytest

from scaling_transformers.accounting import count_parameters, parallel_runs, predict_run, step_cost
from scaling_transformers.accounting.parallel_runs import MEASURES

BILLIONS = {"Megatron-LM 1.7B": 1.7, "Megatron-LM 145.6B": 145.6, "Megatron-LM 1008B": 1008.0}


def run(name):
    (found,) = [each for each in parallel_runs() if each.name == name]
    return found


@pytest.mark.parametrize("each", parallel_runs(), ids=lambda each: each.name)
def test_every_run_splits_its_batch_and_has_a_plausible_speed(each):
    assert each.batch % (each.mesh.n_batch * each.accumulate) == 0
    assert each.measure in MEASURES
    assert 0.1 < each.mfu < 0.6
    assert each.source
    assert each.use in ("calibration", "prediction")


@pytest.mark.parametrize("each", parallel_runs(), ids=lambda each: each.name)
def test_devices_are_as_many_as_the_name_says(each):
    if each.name.endswith("GPUs"):
        assert each.mesh.n_device == int(each.name.split()[-2])


def test_sizes_give_the_published_number_of_parameters():
    """Narayanan et al. 2021, equation 2 counts the vocabulary once."""
    for name, billions in BILLIONS.items():
        config = run(name).config.replace(tie_embeddings=True)
        assert round(count_parameters(config).total / 1e9, 1) == billions
    bloom = run("BLOOM 176B").config.replace(tie_embeddings=True)
    assert count_parameters(bloom).total == pytest.approx(176_247e6, rel=0.001)
    assert count_parameters(run("PaLM 540B").config).total == pytest.approx(540.35e9, rel=0.001)


def test_reported_speeds_agree_with_what_the_same_papers_say_otherwise():
    """Utilizations that the papers give beside the figure in the table, by their own counts of FLOPs."""
    for name, mfu in {
        "PaLM 540B": 0.462,  # Chowdhery et al. 2022, table 3
        "MT-NLG 530B on 2240 GPUs": 0.302,  # the same table
        "Megatron-LM 175B, sequence parallel": 0.514,  # Korthikanti et al. 2022, table 5
        "Megatron-LM 530B on 2240 GPUs": 0.542,  # the same, abstract
        "Llama 3 405B on 8192 GPUs": 0.43,  # Grattafiori et al. 2024, table 4
        "Llama 3 405B on 16384 GPUs": 0.41,
    }.items():
        assert run(name).mfu == pytest.approx(mfu, rel=0.02), name
    days = 300e9 / (1536 * 2048) * run("ZeRO-3 175B on 384 GPUs").seconds / 86400
    assert days == pytest.approx(90, rel=0.01)  # Narayanan et al. 2021, table 2


def test_the_default_efficiency_is_that_of_the_one_run_it_was_taken_from():
    (calibration,) = [each for each in parallel_runs() if each.use == "calibration"]
    assert calibration.mesh.n_device == calibration.cluster.devices_a_node  # no network between nodes in it
    assert predict_run(calibration).ratio == pytest.approx(1, abs=0.002)


def test_most_runs_are_predicted_to_a_quarter():
    """ZeRO-3 on hundreds of devices was far slower than its bytes explain, PaLM's chips reach more."""
    ratios = {each.name: predict_run(each).ratio for each in parallel_runs() if each.use == "prediction"}
    far = {name for name, ratio in ratios.items() if not 0.74 < ratio < 1.26}
    assert far == {"ZeRO-3 175B on 768 GPUs", "ZeRO-3 175B on 1536 GPUs", "PaLM 540B"}
    assert np.median(np.abs(np.log(list(ratios.values())))) < 0.15


def test_a_prediction_is_what_step_cost_says_where_the_engine_takes_the_mesh():
    each = run("Megatron-LM 18.4B")
    cost = step_cost(
        each.config, each.mesh, batch=each.batch, seq_len=each.seq_len, accumulate=each.accumulate,
        cluster=each.cluster, checkpointing=each.checkpointing,
    )  # fmt: skip
    assert predict_run(each).seconds == cost.seconds
    assert predict_run(each, overlap=False).seconds > cost.seconds
