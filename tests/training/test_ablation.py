"""The designs cost the same and differ as they say, runs repeat, and the interval is Student's."""

import math

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import forward_flops
from scaling_transformers.training import ablation
from scaling_transformers.training.ablation import ALL, BASELINE, CONFIG, Run


@pytest.mark.parametrize("config", [CONFIG, TransformerConfig(12, 768, 12, 50257, 1024)])
def test_every_design_costs_what_the_baseline_costs(config):
    n = config.n_ctx
    target = forward_flops(config, batch=1, seq_len=n).total
    found = ablation.variants(config, seq_len=n)
    assert found[BASELINE] == config
    for design in found.values():
        assert forward_flops(design, batch=1, seq_len=n).total == pytest.approx(target, rel=0.01)


def test_a_design_has_one_change_and_the_last_has_all():
    found = ablation.variants(CONFIG, seq_len=CONFIG.n_ctx)
    llama = found.pop(ALL)
    assert (llama.norm, llama.activation, llama.position) == ("rmsnorm", "swiglu", "rotary")
    assert (llama.bias, llama.qkv_bias, llama.n_kv_head) == (False, False, 2)
    assert found["one key head"].n_kv_head == 1
    assert found["SwiGLU"].replace(activation="gelu", d_ff=CONFIG.d_ff) == CONFIG
    assert found["rotary"].replace(position="learned") == CONFIG
    assert found["grouped heads"].d_ff > CONFIG.d_ff > found["SwiGLU"].d_ff


def test_equal_flops_are_refused_where_there_are_too_few():
    wide = CONFIG.replace(d_model=256)
    with pytest.raises(ValueError, match="like must leave FLOPs"):
        ablation.at_equal_flops(wide, like=CONFIG, seq_len=64)
    with pytest.raises(ValueError, match="n_head must be even"):
        ablation.variants(TransformerConfig(1, 27, 3, 10, 8), seq_len=8)


def test_a_run_repeats_to_the_bit_beside_others_and_starts_from_its_seed():
    runs = [
        Run(BASELINE, 0, 2e-3, 2),
        Run(ALL, 0, 2e-3, 2),
        Run(BASELINE, 1, 2e-3, 2),
        Run(BASELINE, 0, 2e-3, 2),
    ]
    table = ablation.run_all(runs)
    assert table["loss"][0] == table["loss"][3]
    assert len(set(table["loss"])) == 3
    assert table["variant"].tolist() == [run.variant for run in runs]
    assert 3 < table["loss"].min() < table["loss"].max() < math.log(256)  # hardly trained


def table_of(losses):
    """A table of runs from {name: losses by seed}."""
    rows = [(name, seed, loss) for name, by_seed in losses.items() for seed, loss in enumerate(by_seed)]
    return np.array(rows, dtype=[("variant", "U20"), ("seed", int), ("loss", float)])


def test_the_difference_is_paired_by_seed():
    table = table_of({BASELINE: [1.0, 2.0, 3.0], "other": [0.9, 1.8, 2.9]})
    middle, error = ablation.differences(np.random.default_rng(0).permutation(table))["other"]
    assert middle == pytest.approx(-0.4 / 3)
    assert error == pytest.approx(4.303 * 0.1 / 3, rel=1e-6)  # deviations of 1/30, 1/30 and 2/30
    with pytest.raises(ValueError, match="same seeds of 'other'"):
        ablation.differences(table[:-1])
    with pytest.raises(ValueError, match="from 2 to 11"):
        ablation.differences(table_of({BASELINE: [1.0], "other": [0.9]}))


@pytest.mark.parametrize("n", range(2, 12))
def test_the_factor_leaves_a_fortieth_of_students_density_on_either_side(n):
    df, factor = n - 1, ablation.t_95(n)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    t = np.linspace(-factor, factor, 200_001)
    density = scale * (1 + t**2 / df) ** (-(df + 1) / 2)
    assert np.trapezoid(density, t) == pytest.approx(0.95, abs=1e-4)


def test_the_shipped_runs_are_complete():
    found = {(row["variant"], row["seed"], row["learning_rate"]) for row in ablation.recorded()}
    configs = ablation.variants(CONFIG, seq_len=64)
    assert found == {(n, s, r) for n in configs for s in ablation.SEEDS for r in ablation.RATES}
    assert len(ablation.recorded()) == len(found)
    for row in ablation.recorded():
        assert row["flops"] == forward_flops(configs[row["variant"]], batch=1, seq_len=64).total


def test_making_all_writes_runs_and_record(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "run_all", lambda runs: ablation.as_table([fake(run) for run in runs]))
    ablation.make_all(tmp_path, n_step=3, seeds=(0, 1))
    monkeypatch.setattr(ablation, "_DATA", tmp_path)
    assert len(ablation.recorded()) == 8 * 2 * len(ablation.RATES)
    assert ablation.record()["bytes_seen"] == 3 * ablation.BATCH * 64
    assert ablation.record()["torch"] == torch.__version__


def fake(run):
    return {**run._asdict(), "n_params": 1, "flops": 2, "loss": 1.0 + run.learning_rate}
