"""What the shipped models promise: that they are the ones recorded, and that their heads copy."""

import numpy as np
import pytest
import torch

from scaling_transformers.model import Transformer
from scaling_transformers.training import small_models, token_losses

RUNS = [(n_layer, seed) for n_layer in small_models.CONFIGS for seed in small_models.SEEDS]


@pytest.fixture(scope="module")
def strings():
    return small_models.repeated_strings(batch=32, n=128, period=64, generator=np.random.default_rng(7))


def second_copy_loss(model, strings, off):
    gate = torch.as_tensor(1.0 - off, dtype=torch.float32)
    with torch.no_grad():
        return float(token_losses(model, strings, head_gate=gate)[:, 64:].mean())


@pytest.mark.parametrize(("n_layer", "seed"), RUNS)
def test_the_shipped_weights_are_those_of_the_record(n_layer, seed):
    (last,) = (
        row for row in small_models.record()["final"] if (row["n_layer"], row["seed"]) == (n_layer, seed)
    )
    measured = small_models.head_scores(small_models.load(n_layer=n_layer, seed=seed))
    assert measured["induction"].max() == pytest.approx(last["induction"], abs=0.01)  # stored in float16
    assert measured["previous"].max() == pytest.approx(last["previous"], abs=0.01)


@pytest.mark.parametrize("seed", small_models.SEEDS)
def test_induction_heads_are_there_and_without_them_nothing_is_copied(seed, strings):
    model = small_models.load(n_layer=2, seed=seed)
    copying = small_models.head_scores(model)["induction"] > 0.2
    others = np.array([[False] * 4, [True] * 4]) & ~copying
    whole = second_copy_loss(model, strings, np.zeros((2, 4), dtype=bool))
    guessing = np.log(np.ptp(small_models.PRINTABLE))
    assert copying[1].any()
    assert not copying[0].any()
    assert whole < 0.2 * guessing
    assert second_copy_loss(model, strings, copying) > 0.8 * guessing
    assert second_copy_loss(model, strings, others) < 0.5 * guessing


@pytest.mark.parametrize("seed", small_models.SEEDS)
def test_one_layer_does_not_copy(seed, strings):
    model = small_models.load(n_layer=1, seed=seed)
    assert small_models.head_scores(model)["induction"].max() < 0.1
    assert second_copy_loss(model, strings, np.zeros((1, 4), dtype=bool)) > 0.9 * np.log(94)


def test_the_history_holds_every_run_from_the_first_step_to_the_last():
    history = small_models.history()
    for n_layer, seed in RUNS:
        steps = history["step"][(history["n_layer"] == n_layer) & (history["seed"] == seed)]
        assert (steps[0], steps[-1]) == (1, small_models.record()["n_step"])
        assert (np.diff(steps) > 0).all()


@pytest.mark.parametrize(("n_layer", "seed"), [(3, 0), (2, 9)])
def test_a_model_that_is_not_shipped_is_refused(n_layer, seed):
    with pytest.raises(ValueError, match="n_layer must be one of"):
        small_models.load(n_layer=n_layer, seed=seed)


def test_a_quarter_of_each_batch_repeats_and_targets_are_successors():
    text = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)
    tokens, targets = small_models.sample_text_and_copies(
        text, batch=16, n=128, generator=np.random.default_rng(1)
    )
    assert (tokens[:, 1:] == targets[:, :-1]).all()
    repeats = [any(bool((row[period:] == row[:-period]).all()) for period in range(1, 65)) for row in tokens]
    assert repeats == [True] * 4 + [False] * 12


@pytest.mark.parametrize("part", small_models.PARTS)
def test_a_model_of_one_part_reads_context_only_with_attention(part):
    torch.manual_seed(0)
    model = small_models.keep_only(Transformer(small_models.CONFIGS[2]), part)
    tokens = torch.arange(8)[None]
    changed = tokens.clone()
    changed[0, 0] = 99
    moved = (model(changed) != model(tokens)).any(dim=-1)[0]
    assert moved.tolist() == [True] + [part != "feed-forward"] * 7
    text = model.generate(tokens, max_new_tokens=4, temperature=0)
    assert (model(text)[0, 7:-1].argmax(dim=-1) == text[0, 8:]).all()


def test_a_part_that_no_block_has_is_refused():
    with pytest.raises(ValueError, match="part must be one of"):
        small_models.keep_only(Transformer(small_models.CONFIGS[1]), "norm")


def test_the_table_of_parts_holds_every_part_and_seed():
    rows = {(str(row["part"]), int(row["seed"])) for row in small_models.parts()}
    assert rows == {(part, seed) for part in small_models.PARTS for seed in small_models.SEEDS}


def test_a_run_writes_weights_history_and_record_that_load_again(tmp_path, monkeypatch):
    monkeypatch.setattr(small_models, "SEEDS", (0,))
    small_models.train_all(tmp_path, n_step=1, workers=1)
    small_models.train_parts(tmp_path, n_step=1, workers=1)
    monkeypatch.setattr(small_models, "_DATA", tmp_path)
    assert small_models.load(n_layer=1, seed=0).config == small_models.CONFIGS[1]
    assert small_models.history()["step"].tolist() == [1, 1]
    assert small_models.parts()["n_step"].tolist() == [1, 1, 1]
    assert small_models.record()["tokens_seen"] == small_models.BATCH * small_models.N_CTX
