"""The smallest footprint that reaches a loss: least against a search that knows nothing of its formula."""

import numpy as np
import pytest

from scaling_transformers.footprint import smallest_footprint
from scaling_transformers.scaling import ChinchillaLaw

LAW = ChinchillaLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
WHERE = {"utilisation": 0.4, "pue": 1.1, "carbon_intensity": 400}


@pytest.mark.parametrize("used", [0.0, 1e12, 1e14])
@pytest.mark.parametrize("in_use", [0.4, 0.05])
def test_no_other_size_that_reaches_the_loss_takes_less(used, in_use):
    best = smallest_footprint(LAW, loss=2.0, n_inference_tokens=used, inference_utilisation=in_use, **WHERE)
    sizes = np.geomspace(best.n_params / 30, best.n_params * 30, 20_001)
    left = 2.0 - LAW.E - LAW.A / sizes**LAW.alpha
    sizes, left = sizes[left > 0], left[left > 0]
    tokens = (LAW.B / left) ** (1 / LAW.beta)
    seconds = (6 * sizes * tokens / 0.4 + 2 * sizes * used / in_use) / 312e12
    energy = seconds / 3600 * 0.4 * 1.1
    assert best.total.energy_kwh == pytest.approx(energy.min(), rel=1e-4)
    assert best.loss == pytest.approx(2.0)


def test_without_use_it_is_the_best_training():
    best = smallest_footprint(LAW, loss=2.0, **WHERE)
    split = LAW.optimal(flops=6 * best.n_params * best.n_tokens)
    assert best.n_params == pytest.approx(split.n_params, rel=1e-6)
    assert best.inference.energy_kwh == 0


def test_more_use_and_worse_use_ask_for_smaller_models():
    sizes = [
        smallest_footprint(
            LAW, loss=2.0, n_inference_tokens=used, inference_utilisation=in_use, **WHERE
        ).n_params
        for used, in_use in [(0, 0.4), (1e12, 0.4), (1e13, 0.4), (1e13, 0.04)]
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": 1.5}, "loss must be above E"),
        ({"n_inference_tokens": -1}, "n_inference_tokens must"),
        ({"inference_utilisation": 1.5}, "inference_utilisation must .*at most 1"),
        ({"utilisation": 0}, "utilisation must"),
        ({"pue": 0.5}, "pue must"),
    ],
)
def test_wrong_input_is_explained(wrong, message):
    with pytest.raises(ValueError, match=message):
        smallest_footprint(LAW, **({"loss": 2.0} | WHERE | wrong))
