"""One run of a sweep: it spends its budget, repeats to the bit, and its row says what was done."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from scaling_transformers.accounting import count_parameters, training_flops
from scaling_transformers.training import runs
from scaling_transformers.training.runs import (
    batch_for,
    config_of,
    held_out_loss,
    language,
    train_run,
)

SETTINGS = {
    "corpus": "synthetic",
    "d_model": 16,
    "n_layer": 1,
    "n_ctx": 16,
    "learning_rate": 1e-2,
    "seed": 0,
    "token_budget": 3000,
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Less to measure on, and a text that is made at once."""
    monkeypatch.setattr(runs, "N_VALIDATION", 128)
    letters = np.random.default_rng(0).integers(97, 123, 6000).astype(np.uint8)
    monkeypatch.setattr(
        runs, "_text", lambda: SimpleNamespace(train=letters[:2500], validation=letters[2500:])
    )


def budget_of(settings, budget):
    return {**{name: value for name, value in settings.items() if name != "token_budget"}, "budget": budget}


@pytest.mark.parametrize("corpus", ["synthetic", "text"])
def test_the_row_says_what_was_done(corpus):
    settings = {**SETTINGS, "corpus": corpus}
    row = train_run(settings)
    config = config_of(settings)
    assert row["n_params"] == count_parameters(config).total
    assert row["n_params_non_embedding"] == count_parameters(config).non_embedding
    assert row["n_tokens"] == row["n_step"] * row["batch"] * 16
    assert abs(row["n_tokens"] - 3000) <= row["batch"] * 16 / 2
    assert row["n_unique_tokens"] == (row["n_tokens"] if corpus == "synthetic" else 2500)
    assert row["flops"] == training_flops(config, n_tokens=row["n_tokens"], seq_len=16)
    assert np.log(config.vocab_size) + 0.1 > row["loss"] > 0
    assert 0 < row["loss_error"] < 0.2
    assert row["cpu_seconds"] > 0
    assert row["torch"] == torch.__version__
    assert set(row) == {
        *("n_params", "n_params_non_embedding", "n_tokens", "n_unique_tokens", "flops", "batch", "n_step"),
        *("loss", "loss_error", "cpu_seconds", "started", "machine", "torch"),
    }
    assert all(isinstance(value, (int, float, str)) for value in row.values())  # what a table can hold


@pytest.mark.parametrize("way", runs.WAYS)
def test_a_way_of_skipping_spends_the_same_budget_on_as_many_tokens_or_more(way):
    settings = {**SETTINGS, "n_layer": 4, "n_ctx": 64, "way": way}
    config, dense = config_of(settings), config_of({**settings, "way": "dense"})
    per_token, of_dense = (training_flops(c, n_tokens=64, seq_len=64) / 64 for c in (config, dense))
    if way == "experts":  # a token costs as much, and the router on top
        assert of_dense < per_token < 1.1 * of_dense
    else:
        assert (per_token == of_dense) == (way == "dense")
        assert per_token <= of_dense
    row = train_run({**budget_of(settings, 1e9)})
    assert row["n_params_active"] == count_parameters(config).active
    assert row["flops"] == pytest.approx(1e9, rel=0.1)


def test_a_way_that_there_is_not_is_named():
    with pytest.raises(ValueError, match=r"way must be one of .*'hourglass'.*; got 'magic'"):
        config_of({**SETTINGS, "way": "magic"})


@pytest.mark.parametrize("name", runs.CORPORA)
def test_the_shipped_runs_that_skip_are_those_declared(name):
    table = runs.recorded(name, chapter="sparsity")
    assert set(table["way"]) == set(runs.WAYS)
    for budget in np.unique(table["budget"]):
        for way in runs.WAYS:
            here = table[(table["budget"] == budget) & (table["way"] == way)]
            assert len(set(here["seed"])) >= 3
            np.testing.assert_allclose(here["flops"], budget, rtol=0.05)
    assert runs.record("sparsity")["cpu_hours"] > 0


def test_the_same_settings_give_the_same_loss_to_the_bit_and_another_seed_another():
    one, same, other = (train_run({**SETTINGS, "seed": seed}) for seed in (0, 0, 1))
    assert one["loss"] == same["loss"]
    assert one["loss_error"] == same["loss_error"]
    assert one["loss"] != other["loss"]


@pytest.mark.parametrize("budget", [1e9, 1e11, 1e13])
@pytest.mark.parametrize("changes", [{}, {"d_model": 128, "n_layer": 2, "n_ctx": 64}])
@pytest.mark.parametrize("corpus", ["synthetic", "text"])
def test_the_budget_is_spent_to_a_tenth(monkeypatch, budget, changes, corpus):
    steps = []
    monkeypatch.setattr(runs, "train", lambda *_, **options: steps.append(options))
    monkeypatch.setattr(runs, "held_out_loss", lambda *_: (1.0, 0.1))
    row = train_run(budget_of({**SETTINGS, "corpus": corpus, **changes}, budget))
    if row["n_step"] >= 5:
        assert row["flops"] == pytest.approx(budget, rel=0.1)
    else:  # so little that whole batches are coarse: to one of them
        assert abs(row["flops"] - budget) <= row["flops"] / row["n_step"]
    assert row["n_step"] >= 5 or budget == 1e9
    assert steps[0]["n_step"] == row["n_step"]
    assert steps[0]["batch"] == row["batch"]


@pytest.mark.parametrize("n", [16, 64, 256])
def test_batches_are_powers_of_two_that_grow_with_the_root_of_the_tokens(n):
    tokens = np.geomspace(1e4, 1e10, 40)
    batches = np.array([batch_for(count, n=n) for count in tokens])
    assert (np.diff(batches) >= 0).all()
    assert all(batch & (batch - 1) == 0 and batch >= 4 for batch in batches.tolist())
    wanted = tokens**0.5 / 2 / n
    assert (np.abs(np.log2(batches / wanted))[wanted >= 4] <= 0.5 + 1e-9).all()
    assert (batches[wanted < 4] == 4).all()


class Best(nn.Module):
    """The predictor that knows the rules: it gives each next token of the held-out texts its true chance."""

    def __init__(self, n_ctx, *, worse=0.0):
        super().__init__()
        self.config = SimpleNamespace(n_ctx=n_ctx)
        n = runs.N_VALIDATION * n_ctx
        text = language().tokens(start=0, n=n + language().tree_length, stream=1)
        losses = language().optimal_losses(text)[1 : n + 1] + worse
        self.targets = torch.from_numpy(text[1 : n + 1].astype(np.int64)).view(-1, n_ctx)
        self.losses = torch.from_numpy(losses).view(-1, n_ctx)
        self.seen = 0

    def forward(self, tokens):
        rows = slice(self.seen, self.seen + len(tokens))
        self.seen += len(tokens)
        target, loss = self.targets[rows], self.losses[rows]
        n_other = language().vocab_size - 1
        others = torch.log(-torch.expm1(-loss.clamp(min=1e-12)) / n_other)  # what is left, shared evenly
        logits = others[..., None].expand(*loss.shape, n_other + 1).clone()
        return logits.scatter_(2, target[..., None], -loss[..., None])


@pytest.mark.parametrize("worse", [0.0, 0.25])
def test_the_loss_of_the_best_predictor_is_the_entropy_without_any_chance(worse):
    loss, error = held_out_loss(Best(16, worse=worse), "synthetic")
    assert loss == pytest.approx(language().entropy_rate + worse, abs=1e-9)
    assert error < 1e-9


def test_positions_are_learned_where_trees_begin_at_known_places():
    assert config_of(SETTINGS).position == "learned"
    assert config_of({**SETTINGS, "corpus": "text"}).position == "rotary"
    assert config_of({**SETTINGS, "corpus": "text"}).vocab_size == 256
    assert config_of({**SETTINGS, "d_model": 64}).n_head == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SETTINGS, "corpus": "poems"}, r"corpus must be one of \('synthetic', 'text'\); got 'poems'"),
        ({**SETTINGS, "budget": 1e9}, r"either budget or token_budget; got \['budget', 'token_budget'\]"),
        ({n: v for n, v in SETTINGS.items() if n != "token_budget"}, r"token_budget; got \[\]"),
        (budget_of(SETTINGS, 0), "budget must be finite and above 0; got 0.0"),
        (budget_of(SETTINGS, float("nan")), "budget must be finite and above 0; got nan"),
        ({**SETTINGS, "token_budget": -1}, "token_budget must be finite and above 0; got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        train_run(settings)


def test_the_loss_on_another_corpus_is_refused():
    with pytest.raises(ValueError, match="corpus must be one of"):
        held_out_loss(Best(16), "poems")
