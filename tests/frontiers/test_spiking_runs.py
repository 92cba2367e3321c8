"""Tasks are what they say, runs repeat, and the shipped runs are complete."""

import pytest
import torch

from scaling_transformers.frontiers import spiking_runs
from scaling_transformers.frontiers.spiking_runs import (
    DESIGNS,
    N_SHOWN,
    SEEDS,
    Design,
    Digits,
    digits,
    episodes,
    measure,
    run,
    runs_of,
    split,
    trained,
    works,
)


def by_image(known):
    return {image.numpy().tobytes(): int(label) for image, label in zip(*known, strict=True)}


def test_a_task_shows_different_digits_and_asks_for_one_of_them_with_its_symbol():
    _, unseen = split(seed=0)
    label_of = by_image(unseen)
    x, y = episodes(unseen, 200, generator=torch.Generator().manual_seed(0))
    assert x.shape == (200, N_SHOWN + 1, 64 + N_SHOWN)
    for task, answer in zip(x, y, strict=True):
        shown = [label_of[token[:64].numpy().tobytes()] for token in task]
        assert len(set(shown[:-1])) == N_SHOWN
        symbols = task[:-1, 64:].argmax(-1).tolist()
        assert sorted(symbols) == list(range(N_SHOWN))
        assert symbols[shown.index(shown[-1])] == answer
        assert task[-1, 64:].abs().sum() == 0
    assert len(set(y.tolist())) == N_SHOWN


def test_the_split_is_of_all_digits_and_differs_by_seed():
    known, unseen = split(seed=1)
    assert len(known.labels) + len(unseen.labels) == len(digits().labels) == 1797
    together = torch.cat([known.images, unseen.images]).sum(0)
    torch.testing.assert_close(together, digits().images.sum(0))
    assert not torch.equal(known.labels, split(seed=2)[0].labels)


def test_a_digit_without_an_image_is_refused():
    images, labels = digits()
    with pytest.raises(ValueError, match="an image of each digit"):
        episodes(Digits(images[labels > 0], labels[labels > 0]), 3, generator=torch.Generator())


def test_runs_repeat_and_designs_differ(monkeypatch):
    monkeypatch.setattr(spiking_runs, "N_TEST", 50)
    designs = (Design(0), Design(1), Design(1, "mean"), Design(1, penalty=1.0))
    rows = [run(design, seed=3, n_step=3) for design in designs]
    assert rows == [run(design, seed=3, n_step=3) for design in designs]
    assert [row["rate"] > 0 for row in rows] == [False, True, True, True]
    assert [row["products"] > 0 for row in rows] == [True, True, False, True]


def test_the_price_of_spikes_lowers_their_rate():
    plain, priced = (trained(Design(1, penalty=p), seed=0, n_step=40)[0] for p in (0.0, 20.0))
    x, y = spiking_runs.episodes(split(seed=0)[1], 50, generator=torch.Generator().manual_seed(0))
    assert measure(priced, x, y)["rate"] < 0.8 * measure(plain, x, y)["rate"]


def test_making_all_writes_runs_and_record(tmp_path, monkeypatch):
    monkeypatch.setattr(
        spiking_runs, "run_all", lambda **_: spiking_runs.as_table([{**Design(2)._asdict(), "seed": 0}])
    )
    spiking_runs.make_all(tmp_path, seeds=(0,), n_step=3)
    monkeypatch.setattr(spiking_runs, "_DATA", tmp_path)
    assert spiking_runs.recorded()["n_time"] == 2
    assert spiking_runs.record()["n_step"] == 3


def test_the_shipped_runs_are_complete_and_attention_is_what_solves_the_task():
    table = spiking_runs.recorded()
    assert len(table) == len(DESIGNS) * len(SEEDS)
    right = {}
    for design in DESIGNS:
        rows = runs_of(table, design)
        assert rows["seed"].tolist() == list(SEEDS)
        right[design] = rows["accuracy"]
    assert right[Design(2, "mean")].max() < 0.35  # a guess has a quarter
    assert right[Design(0)].min() > 0.9
    assert (right[Design(0)] - right[Design(0, "mean")]).min() > 0.15
    assert works(runs_of(table, Design(2)))[0].accumulates > 0
    with pytest.raises(ValueError, match="design must be one that was run"):
        runs_of(table, Design(3))
