"""One-shot recognition of handwritten digits by spiking and by dense attention, trained alike and measured.

``python -m scaling_transformers.frontiers.spiking_runs`` trains them all again and replaces the files in
``data/spiking``: the runs, and a record of when and where they were made.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling_transformers.frontiers.spiking_energy import Work
from scaling_transformers.frontiers.spiking_model import SequenceClassifier, probed, work_of
from scaling_transformers.training.corpora import Corpus
from scaling_transformers.training.loop import rate_factor
from scaling_transformers.training.record import as_table, read_record, read_runs, shipped, write_runs

SEEDS = (0, 1, 2, 3, 4)
N_SHOWN = 4
"""Digits shown with a symbol each; as many symbols, so that a guess is right once in as many."""
N_STEP, BATCH, LEARNING_RATE = 600, 64, 1e-2
N_TEST_IMAGE, N_TEST = 597, 2000

_DATA = shipped("spiking")


class Design(NamedTuple):
    """What is trained.

    Attributes
    ----------
    n_time : time steps; 0 for the dense model
    mixer : ``"attention"`` or ``"mean"``, as in `SequenceClassifier`
    penalty : price of spikes, rising from 0
        What the loss adds at the last step for a mean rate of 1, over the layers.
    """

    n_time: int
    mixer: str = "attention"
    penalty: float = 0.0


DESIGNS = (
    Design(0),
    Design(0, "mean"),
    *(Design(n_time) for n_time in (1, 2, 4, 8)),
    Design(2, "mean"),
    Design(2, penalty=0.3),
)


class Digits(NamedTuple):
    """Handwritten digits.

    Attributes
    ----------
    images : tensor, shape (n, 64), from 0 to 1
    labels : tensor, shape (n,), which digit each is
    """

    images: Tensor
    labels: Tensor


@cache
def digits() -> Digits:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Digits(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))


def split(*, seed: int) -> tuple[Digits, Digits]:
    """The digits shuffled by a seed: for training, and `N_TEST_IMAGE` that no training sees."""
    images, labels = digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    test, train = order[:N_TEST_IMAGE], order[N_TEST_IMAGE:]
    return Digits(images[train], labels[train]), Digits(images[test], labels[test])


def episodes(known: Digits, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw ``n`` tasks: `N_SHOWN` different digits, each with a symbol of its own, and another image of one.

    Returns
    -------
    (x, y) : tensors, shapes (n, N_SHOWN + 1, 64 + N_SHOWN) and (n,)
        Each token is an image and its symbol as a one-hot vector, zeros for the last, which asks; the answer
        is the symbol that was shown with the same digit. Symbols are dealt anew for each task.

    Raises
    ------
    ValueError
        If a digit has no image.
    """
    by_digit = [torch.nonzero(known.labels == digit)[:, 0] for digit in range(10)]
    if min(map(len, by_digit)) == 0:
        raise ValueError("known must hold an image of each digit")
    shown = torch.rand(n, 10, generator=generator).argsort(1)[:, :N_SHOWN]
    symbols = torch.rand(n, N_SHOWN, generator=generator).argsort(1)
    asked = torch.randint(N_SHOWN, (n, 1), generator=generator)
    wanted = torch.cat([shown, shown.gather(1, asked)], dim=1)
    draws = torch.rand(wanted.shape, generator=generator)
    chosen = torch.empty_like(wanted)
    for digit, rows in enumerate(by_digit):
        where = wanted == digit
        chosen[where] = rows[(draws[where] * len(rows)).long()]
    x = torch.zeros(n, N_SHOWN + 1, 64 + N_SHOWN)
    x[..., :64] = known.images[chosen]
    x[:, :-1, 64:] = torch.nn.functional.one_hot(symbols, N_SHOWN).float()
    return x, symbols.gather(1, asked)[:, 0]


def trained(design: Design, *, seed: int, n_step: int = N_STEP) -> tuple[SequenceClassifier, list[float]]:
    """A model trained on tasks of the training images, ready for evaluation, and its loss at each step."""
    known, _ = split(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    n_time = design.n_time or None
    model = SequenceClassifier(N_SHOWN + 1, 64 + N_SHOWN, N_SHOWN, n_time=n_time, mixer=design.mixer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    losses, rates = [], []
    if design.penalty:
        model.probe = lambda _, out: rates.append(out.mean())
    for step in range(n_step):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate_factor(step, n_step=n_step)
        x, y = episodes(known, BATCH, generator=generator)
        rates.clear()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        if rates:
            # from 0 upwards: at full weight from the start, the cheapest answer is silence
            loss = loss + step / n_step * design.penalty * torch.stack(rates).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.probe = None
    return model.eval(), losses


def test_tasks(*, seed: int) -> tuple[Tensor, Tensor]:
    """`N_TEST` tasks of images that the run of this seed was not trained on."""
    _, unseen = split(seed=seed)
    return episodes(unseen, N_TEST, generator=torch.Generator().manual_seed(1000 + seed))


test_tasks.__test__ = False  # type: ignore[attr-defined]  # no test, for pytest


def measure(model: SequenceClassifier, x: Tensor, y: Tensor) -> dict[str, float]:
    """Accuracy; spikes a neuron and time step (0 of a dense model); the counts of `Work` a task."""
    with torch.no_grad(), probed(model) as seen:
        accuracy = (model(x).argmax(-1) == y).double().mean().item()
    fired = sum(float(out.sum()) for out in seen.values()) if model.n_time else 0.0
    rate = fired / sum(out.numel() for out in seen.values())
    work = work_of(model, x) if model.mixer == "attention" else Work()
    return {"accuracy": accuracy, "rate": rate, **asdict(work)}


def run(design: Design, *, seed: int, n_step: int = N_STEP) -> dict[str, Any]:
    """Train and measure a design with one seed, of split, weights and tasks: a row of the table."""
    x, y = test_tasks(seed=seed)
    model, _ = trained(design, seed=seed, n_step=n_step)
    return {**design._asdict(), "seed": seed, **measure(model, x, y)}


def run_all(
    *,
    seeds: Sequence[int] = SEEDS,
    designs: Sequence[Design] = DESIGNS,
    n_step: int = N_STEP,
    workers: int = 1,
) -> NDArray[Any]:
    """`run` of every design with every seed, in fresh processes with one thread each, as one table."""
    pairs = [(design, seed) for seed in seeds for design in designs]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return as_table(list(pool.map(partial(_alone, n_step=n_step), pairs)))


def recorded() -> NDArray[Any]:
    """The runs that are shipped, as of `run_all`."""
    return read_runs(_DATA)


def record() -> dict[str, Any]:
    """On what, when and where the shipped runs were made."""
    return read_record(_DATA)


def runs_of(table: NDArray[Any], design: Design) -> NDArray[Any]:
    """The rows of a design, in the order of the seeds.

    Raises
    ------
    ValueError
        If the table has none.
    """
    found = np.ones(len(table), dtype=bool)
    for name, value in design._asdict().items():
        found &= table[name] == value
    if not found.any():
        raise ValueError(f"design must be one that was run; got {design}")
    rows: NDArray[Any] = table[found]
    return rows[np.argsort(rows["seed"])]


def works(rows: NDArray[Any]) -> list[Work]:
    """The counts of each run."""
    return [Work(*(float(row[name]) for name in asdict(Work()))) for row in rows]


def make_all(folder: Path, *, seeds: Sequence[int] = SEEDS, n_step: int = N_STEP, workers: int = 1) -> None:
    """Train and measure everything; write runs and record into a folder."""
    images, labels = digits()
    pixels = (images * 16).round().numpy().astype(np.uint8).ravel()
    corpus = Corpus(
        pixels,
        labels.numpy().astype(np.uint8),
        name="load_digits() of scikit-learn; the hash is of pixels and labels",
        sha256=hashlib.sha256(pixels.tobytes() + labels.numpy().astype(np.uint8).tobytes()).hexdigest(),
        n_documents=len(labels),
        vocab_size=17,
    )
    write_runs(
        folder,
        run_all(seeds=seeds, n_step=n_step, workers=workers),
        command="python -m scaling_transformers.frontiers.spiking_runs",
        corpus=corpus,
        n_step=n_step,
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        n_test=N_TEST,
    )


def _alone(pair: tuple[Design, int], *, n_step: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    design, seed = pair
    return run(design, seed=seed, n_step=n_step)


if __name__ == "__main__":
    make_all(Path(str(_DATA)))
