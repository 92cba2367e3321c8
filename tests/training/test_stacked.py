"""Models trained at once end where each alone would end."""

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import train, train_stacked
from scaling_transformers.training.language import SyntheticLanguage

TEXT = np.random.default_rng(0).integers(0, 16, 500).astype(np.uint8)
LANGUAGE = SyntheticLanguage(vocab_size=16, n_rule=64)
CONFIG = TransformerConfig(2, 16, 2, 16, 16)
LLAMA = {
    "norm": "rmsnorm",
    "bias": False,
    "qkv_bias": False,
    "position": "rotary",
    "activation": "swiglu",
    "n_kv_head": 1,
}
RATES, SEEDS = (5e-4, 1e-3, 4e-3), (3, 4, 3)  # far from where rounding would grow from step to step


def make(seed, *, dtype=torch.float64, **changes):
    torch.manual_seed(seed)
    return Transformer(CONFIG.replace(**changes)).to(dtype)


def both(text, *, dtype, changes, **options):
    """Losses and models of a stack, and of its members one by one."""
    stack, alone = ([make(seed, dtype=dtype, **changes) for seed in range(3)] for _ in range(2))
    options = {"n_step": 50, "batch": 4, "n": 16, **options}
    losses = train_stacked(stack, text, learning_rates=RATES, seeds=SEEDS, **options)
    expected = [
        train(model, text, learning_rate=rate, seed=seed, **options)
        for model, rate, seed in zip(alone, RATES, SEEDS, strict=True)
    ]
    return losses, np.array(expected), stack, alone


@pytest.mark.parametrize(
    ("text", "changes", "options"),
    [
        (TEXT, {}, {}),
        (LANGUAGE, {"tie_embeddings": False, **LLAMA}, {"transfer": True}),
        (TEXT, {"position": "alibi"}, {"schedule": "wsd", "n_step": 12}),
        (TEXT, {"position": "sinusoidal", "window": 5}, {"n_step": 12}),
    ],
)
def test_a_stack_ends_as_its_members_alone(text, changes, options):
    losses, expected, stack, alone = both(text, dtype=torch.float64, changes=changes, **options)
    assert losses.shape == expected.shape
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-8)
    for one, other in zip(stack, alone, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-8)


def test_in_single_precision_the_losses_agree_to_four_digits():
    losses, expected, _, _ = both(TEXT, dtype=torch.float32, changes={})
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-4)
    assert np.ptp(losses[:, -1]) > 1e-2  # the members differ, and by more than that


def test_tied_weights_stay_tied():
    model = make(0)
    train_stacked([model], TEXT, n_step=2, batch=2, n=8, learning_rates=[1e-2], seeds=[0])
    assert model.unembedding.weight is model.embedding.weight


def test_a_lost_member_is_named():
    models = [make(seed) for seed in range(2)]
    with pytest.raises(
        FloatingPointError, match=r"loss is nan for model 1 at step \d+ with learning rate 1e"
    ):
        train_stacked(models, TEXT, n_step=20, batch=2, n=8, learning_rates=[1e-3, 1e300], seeds=[0, 0])


@pytest.mark.parametrize(
    ("models", "changes", "message"),
    [
        ([], {"learning_rates": [], "seeds": []}, "models must hold at least one model"),
        ([make(0)] * 2, {}, "none of them twice"),
        ([make(0), make(0, d_ff=8)], {}, "models must have one config; that of model 1 is "),
        ([make(0), make(0, dtype=torch.float32)], {}, "models must have one dtype; that of model 1 is "),
        ([make(0), make(1)], {"seeds": [0]}, "seeds must have one value for each of 2 models; got 1"),
        ([make(0), make(1)], {"learning_rates": [1e-3]}, "learning_rates must have one value for each"),
        ([make(0, n_expert=2)] * 1, {"learning_rates": [1e-3], "seeds": [0]}, "no mixture of experts"),
        ([make(0), make(1)], {"schedule": "linear"}, "schedule must be one of"),
        ([make(0), make(1)], {"n_step": 0}, "n_step must be a whole number of at least 1"),
    ],
)
def test_models_and_options_that_do_not_fit_are_refused(models, changes, message):
    options = {"n_step": 1, "batch": 2, "n": 8, "learning_rates": [1e-3] * 2, "seeds": [0, 1], **changes}
    with pytest.raises(ValueError, match=message):
        train_stacked(models, TEXT, **options)
