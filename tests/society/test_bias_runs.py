"""Runs repeat and cover every way, the truth is measured by the same lines, and costs are paired by seed."""

import numpy as np
import pytest

from scaling_transformers.society import bias_runs, planted_language
from scaling_transformers.society.bias_runs import NONE, REFERENCE, WAYS


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(bias_runs, "N_SENTENCE", 200)
    monkeypatch.setattr(bias_runs, "N_TEST", 40)
    bias_runs.held_out_texts.cache_clear()
    yield
    bias_runs.held_out_texts.cache_clear()


def test_a_seed_has_a_row_for_every_way_and_repeats(little):
    rows = bias_runs.run_seed(3, n_step=2)
    assert [row["way"] for row in rows] == list(WAYS)
    assert all(np.isfinite(value) for row in rows for name, value in row.items() if name != "way")
    assert len({row["loss_original"] for row in rows}) == len(WAYS)
    assert rows == bias_runs.run_seed(3, n_step=2)


def test_the_truth_is_measured_by_the_same_lines():
    truth = bias_runs.measure_truth(planted_language())
    assert truth["attribute"] == pytest.approx(0.6)
    assert truth["stereotype"] == 1.0
    assert truth["loss_original"] < truth["loss_unbiased"]
    assert truth["loss_things"] > 0


def test_the_projection_of_words_takes_their_part_along_the_direction(little):
    model = bias_runs.trained(bias_runs.training_text(planted_language(), seed=0), seed=0, n_step=2)
    changed = bias_runs.words_projected(model)
    direction = bias_runs.bias_direction(*(bias_runs.vectors(model, terms) for terms in bias_runs._TERMS))
    np.testing.assert_allclose(bias_runs.vectors(changed, ["baker", "calm"]) @ direction, 0, atol=1e-6)
    assert abs(bias_runs.vectors(model, ["baker", "calm"]) @ direction).max() > 1e-3


def test_costs_are_paired_by_seed():
    rows = [(NONE, 0, 1.0), (NONE, 1, 2.0), ("other", 1, 2.3), ("other", 0, 1.1)]
    table = np.array(rows, dtype=[("way", "U10"), ("seed", int), ("loss", float)])
    mean, half = bias_runs.costs(table, "loss")["other"]
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(12.706 * 0.1)  # deviation sqrt(2) / 10 over sqrt(2)
    assert bias_runs.summary(table, "loss")[NONE][0] == 1.5
    with pytest.raises(ValueError, match="same seeds of 'other'"):
        bias_runs.costs(table[:-1], "loss")


def test_making_all_writes_runs_and_record(tmp_path, monkeypatch, little):
    fake = [{"way": way, "seed": seed, "loss": 1.5} for seed in (0, 1) for way in WAYS]
    monkeypatch.setattr(bias_runs, "run_all", lambda **_: bias_runs.as_table(fake))
    bias_runs.make_all(tmp_path, seeds=(0, 1), n_step=3)
    monkeypatch.setattr(bias_runs, "_DATA", tmp_path)
    assert len(bias_runs.recorded()) == 2 * len(WAYS)
    assert bias_runs.record()["n_step"] == 3
    assert bias_runs.record()["n_sentence"] == 200


def test_the_shipped_runs_are_complete_and_say_what_the_chapter_says():
    table = bias_runs.recorded()
    assert {(row["way"], row["seed"]) for row in table} == {(w, s) for w in WAYS for s in bias_runs.SEEDS}
    assert len(table) == len(WAYS) * len(bias_runs.SEEDS)
    found = bias_runs.summary(table, "attribute")
    assert found[NONE][0] > 0.5 > 0.05 > abs(found[REFERENCE][0])
