"""What the explorer of laws promises: a frame is the law of the reader's numbers that fits our runs best."""

import itertools
import json

import numpy as np
import pytest

from scaling_transformers.explorers import scaling_explorer
from scaling_transformers.explorers.scaling import ALPHAS, BETAS, FLOORS
from scaling_transformers.scaling import fit_chinchilla
from scaling_transformers.training import runs

SETTINGS = list(itertools.product(FLOORS, ALPHAS, BETAS))
TABLE = runs.recorded("synthetic")
TOP = TABLE["budget"] == TABLE["budget"].max()
some_settings = pytest.mark.parametrize("setting", SETTINGS[::19])


@pytest.fixture(scope="module")
def made():
    return scaling_explorer()


def written_terms(frame):
    """A and B as the sentence has them, to three digits."""
    _, rest = frame["summary"].split("A = ")
    a, rest = rest.split(" and B = ")
    return float(a.replace(",", "")), float(rest.split(" fit")[0].replace(",", ""))


def losses(setting, a, b, table):
    """The law written out."""
    floor, alpha, beta = setting
    return floor + a / table["n_params"] ** alpha + b / table["n_tokens"] ** beta


def miss(said, table):
    """Huber's loss of the logarithms over its threshold, the mean in per cent."""
    residual = np.abs(np.log(table["loss"] / said))
    return 100 * np.where(residual < 1e-3, residual**2 / 2e-3, residual - 5e-4).mean()


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 150_000


@some_settings
def test_no_other_terms_miss_the_runs_by_less(made, setting):
    frame = made.frames[SETTINGS.index(setting)]
    a, b = written_terms(frame)
    assert frame["miss"] == pytest.approx(miss(losses(setting, a, b, TABLE[~TOP]), TABLE[~TOP]), abs=0.02)
    others = itertools.product(a * np.geomspace(0.5, 2, 21), b * np.geomspace(0.5, 2, 21))
    assert frame["miss"] <= min(miss(losses(setting, *o, TABLE[~TOP]), TABLE[~TOP]) for o in others) + 1e-3


@some_settings
def test_the_largest_budget_is_predicted_and_not_fitted(made, setting):
    frame = made.frames[SETTINGS.index(setting)]
    said = losses(setting, *written_terms(frame), TABLE[TOP])
    assert frame["off"] == pytest.approx(100 * np.mean(TABLE["loss"][TOP] / said - 1), abs=0.3)
    assert f"{abs(frame['off']):.1f} % too {'low' if frame['off'] >= 0 else 'high'}, what" in frame["summary"]
    sizes = np.unique(TABLE["n_params"][TOP])
    assert frame["losses"][-1] == pytest.approx(
        [said[TABLE["n_params"][TOP] == n].mean() for n in sizes], abs=3e-3
    )


def test_the_points_are_the_runs_that_the_book_ships(made):
    assert made.fixed["entropy"] == pytest.approx(runs.entropy_rate(), rel=1e-3)
    for drawn, budget in zip(made.fixed["budgets"], np.unique(TABLE["budget"]), strict=True):
        rows = TABLE[TABLE["budget"] == budget]
        for n, loss in zip(drawn["sizes"], drawn["losses"], strict=True):
            own = np.isclose(rows["n_params"], n, rtol=1e-3)
            assert loss == pytest.approx(rows["loss"][own].mean(), rel=1e-3)
        assert len(drawn["sizes"]) == len(set(rows["n_params"].tolist()))


def test_the_best_law_is_that_of_the_chapter_and_no_frame_fits_better(made):
    seen = TABLE[~TOP]
    fit = fit_chinchilla(seen["n_params"], seen["n_tokens"], seen["loss"])
    best = made.fixed["best"]
    assert best["at"] == pytest.approx([fit.law.E, fit.law.alpha, fit.law.beta], rel=1e-3)
    assert best["miss"] == pytest.approx(100 * fit.objective / len(seen) / 1e-3, rel=1e-3)
    assert min(frame["miss"] for frame in made.frames) >= best["miss"]


def test_the_table_beside_the_curves_holds_the_frames(made):
    for (floor, alpha, beta), frame in zip(SETTINGS, made.frames, strict=True):
        place = BETAS.index(beta), ALPHAS.index(alpha), FLOORS.index(floor)
        for name, key in (("misses", "miss"), ("offs", "off")):
            assert np.array(made.fixed[name])[place] == frame[key]


def test_a_higher_floor_goes_with_steeper_exponents(made):
    misses = np.array(made.fixed["misses"])
    steepness = [sum(np.unravel_index(misses[..., i].argmin(), misses.shape[:2])) for i in range(len(FLOORS))]
    assert steepness == sorted(steepness)
    assert steepness[0] < steepness[-1]
