"""Models trained on the planted language, without and with each mitigation, measured against the truth.

``python -m scaling_transformers.society.bias_runs`` trains them all again and replaces the files in
``data/bias``: the runs, and a record of when and where they were made.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.society.association import weat
from scaling_transformers.society.estimates import mean_and_interval
from scaling_transformers.society.language_bias import (
    gaps,
    log_probability,
    predictor,
    stereotype_score,
    stereotyped_pairs,
)
from scaling_transformers.society.mitigation import (
    augment,
    bias_direction,
    fine_tune,
    neutralise,
    project_states,
    sample_sentences,
    sentence_weights,
)
from scaling_transformers.society.planted import (
    ATTRIBUTES,
    LENGTH,
    NAMES,
    OCCUPATIONS,
    PRONOUNS,
    SWAP,
    WORDS,
    PlantedLanguage,
    columns,
    encode,
    planted_language,
    tokens_of,
    without_bias,
)
from scaling_transformers.training.corpora import Corpus
from scaling_transformers.training.loop import measuring, train
from scaling_transformers.training.record import as_table, read_record, read_runs, shipped, write_runs

CONFIG = TransformerConfig(2, 32, 4, vocab_size=len(WORDS), n_ctx=LENGTH)
SEEDS = (0, 1, 2, 3, 4)
N_STEP, BATCH, LEARNING_RATE = 1000, 64, 4e-3
N_SENTENCE, N_TEST = 20_000, 4000
PENALTIES = (0.1, 1.0, 10.0)
NONE, REFERENCE = "none", "unbiased text"
AUGMENTED, REWEIGHTED = "augmentation", "reweighting"
WORDS_PROJECTED, STATES_PROJECTED = "projection of words", "projection of states"
PENALISED = {f"penalty {value:g}": value for value in PENALTIES}
WAYS = (NONE, AUGMENTED, REWEIGHTED, WORDS_PROJECTED, STATES_PROJECTED, *PENALISED, REFERENCE)
"""What is done against the bias; the last is trained on text that never had it."""

_DATA = shipped("bias")
_TEXT_SEED = 1000  # of the training texts, plus the run's seed; those of the tests are below it
_NEUTRAL = (*OCCUPATIONS, *ATTRIBUTES[0], *ATTRIBUTES[1])
_TERMS = tuple((*names, pronoun) for names, pronoun in zip(NAMES, PRONOUNS, strict=True))


def training_text(language: PlantedLanguage, *, seed: int) -> NDArray[np.uint8]:
    """The sentences that a run of this seed is trained on, shape (`N_SENTENCE`, `LENGTH`)."""
    return language.sentences(N_SENTENCE, seed=_TEXT_SEED + seed)


def trained(
    sentences: NDArray[np.uint8],
    *,
    seed: int,
    weights: NDArray[np.float64] | None = None,
    n_step: int = N_STEP,
) -> Transformer:
    """A model of `CONFIG`, trained on sentences drawn at random, or by ``weights``; ready for evaluation."""
    torch.manual_seed(seed)
    model = Transformer(CONFIG)
    train(
        model,
        sentences.ravel(),
        n_step=n_step,
        batch=BATCH,
        n=LENGTH - 1,
        learning_rate=LEARNING_RATE,
        seed=seed,
        sampler=partial(sample_sentences, weights=weights),
    )
    return model.eval()


def vectors(model: Transformer, words: Sequence[str]) -> NDArray[np.float64]:
    """Embeddings of words, divided by their length; shape (n, d_model)."""
    found = model.embedding.weight.detach()[tokens_of(words).astype(np.int64)].double().numpy()
    unit: NDArray[np.float64] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def words_projected(model: Transformer) -> Transformer:
    """`neutralise` the occupations and attributes, along the direction of names and pronouns in pairs."""
    direction = bias_direction(*(vectors(model, terms) for terms in _TERMS))
    return neutralise(model, tokens_of(_NEUTRAL), direction=direction)


def states_projected(model: Transformer) -> Transformer:
    """`project_states` along the direction in which the states after names of the two groups differ."""
    texts = np.stack([encode(f"<s> {name} said ka is a") for name in NAMES[0]])
    with measuring(model):
        pair = [
            model.hidden(torch.from_numpy(t.astype(np.int64)))[:, -1].numpy() for t in (texts, SWAP[texts])
        ]
    return project_states(model, direction=bias_direction(*pair))


def penalised(
    model: Transformer,
    sentences: NDArray[np.uint8],
    *,
    penalty: float,
    seed: int,
    n_step: int = 3 * N_STEP // 10,
) -> Transformer:
    """`fine_tune` a model on the text it was trained on, with batches and rates as in its training."""
    return fine_tune(
        model,
        sentences,
        swap=SWAP,
        penalty=penalty,
        n_step=n_step,
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        seed=seed,
    )


@cache
def held_out_texts() -> dict[str, NDArray[np.uint8]]:
    """What losses are measured on: the language, the same without bias, and its sentences on things."""
    original = planted_language().sentences(N_TEST, seed=1)
    return {
        "original": original,
        "unbiased": without_bias().sentences(N_TEST, seed=2),
        "things": original[columns(original)[0] < 0],
    }


def measure_model(model: Transformer) -> dict[str, float]:
    """All that is measured on a model: `Gaps`, losses in nats a word, stereotype score, association.

    ``weat``, ``weat_p``: effect size and p-value of the embeddings of occupations with those of the groups.
    """
    terms = [vectors(model, words) for words in _TERMS]
    works = vectors(model, OCCUPATIONS)
    found = weat(works[:4], works[4:], *terms)
    return {
        **_measured(predictor(model), partial(log_probability, model)),
        "weat": found.effect_size,
        "weat_p": found.p_value,
    }


def measure_truth(language: PlantedLanguage) -> dict[str, float]:
    """The same of a language itself, exact but for the losses, which are means over the same test texts."""
    return _measured(language.next_probabilities, language.log_probability)


def run_seed(seed: int, *, n_step: int = N_STEP) -> list[dict[str, Any]]:
    """Train and mitigate with one seed, of text, weights and batches; a row for each of `WAYS`."""
    text = training_text(planted_language(), seed=seed)
    plain = trained(text, seed=seed, n_step=n_step)
    models = {
        NONE: plain,
        AUGMENTED: trained(augment(text, swap=SWAP), seed=seed, n_step=n_step),
        REWEIGHTED: trained(text, seed=seed, weights=sentence_weights(text), n_step=n_step),
        WORDS_PROJECTED: words_projected(plain),
        STATES_PROJECTED: states_projected(plain),
    }
    for name, penalty in PENALISED.items():
        steps = max(1, 3 * n_step // 10)
        models[name] = penalised(plain, text, penalty=penalty, seed=seed, n_step=steps)
    models[REFERENCE] = trained(training_text(without_bias(), seed=seed), seed=seed, n_step=n_step)
    return [{"way": way, "seed": seed, **measure_model(models[way])} for way in WAYS]


def run_all(*, seeds: Sequence[int] = SEEDS, n_step: int = N_STEP, workers: int = 1) -> NDArray[Any]:
    """`run_seed` for every seed, each in a fresh process with one thread, as one table."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(partial(_alone, n_step=n_step), seeds))
    return as_table([row for of_seed in rows for row in of_seed])


def summary(table: NDArray[Any], column: str) -> dict[str, tuple[float, float]]:
    """Mean of a column over the seeds, and half its 95 % interval, for each way in the table."""
    return {
        str(way): mean_and_interval(table[column][table["way"] == way])
        for way in dict.fromkeys(table["way"].tolist())
    }


def costs(table: NDArray[Any], column: str) -> dict[str, tuple[float, float]]:
    """Rise of a loss over that of the model without mitigation, seed by seed: mean, half its 95 % interval.

    Raises
    ------
    ValueError
        If a way lacks a seed of ``"none"``.
    """
    values = {
        str(way): {int(row["seed"]): float(row[column]) for row in table[table["way"] == way]}
        for way in dict.fromkeys(table["way"].tolist())
    }
    base = values.pop(NONE)
    for way, by_seed in values.items():
        if set(by_seed) != set(base):
            raise ValueError(f"table must hold the same seeds of {way!r} and of {NONE!r}")
    return {
        way: mean_and_interval(np.array([by_seed[seed] - base[seed] for seed in base]))
        for way, by_seed in values.items()
    }


def recorded() -> NDArray[Any]:
    """The runs that are shipped, as of `run_all`."""
    return read_runs(_DATA)


def record() -> dict[str, Any]:
    """On what, when and where the shipped runs were made."""
    return read_record(_DATA)


def make_all(folder: Path, *, seeds: Sequence[int] = SEEDS, n_step: int = N_STEP) -> None:
    """Train and measure everything; write runs and record into a folder."""
    text, test = (
        training_text(planted_language(), seed=seeds[0]).ravel(),
        held_out_texts()["original"].ravel(),
    )
    corpus = Corpus(
        text,
        test,
        name="planted_language() of scaling_transformers.society; the hash is of the first seed's text",
        sha256=hashlib.sha256(text.tobytes() + test.tobytes()).hexdigest(),
        n_documents=N_SENTENCE + N_TEST,
        vocab_size=len(WORDS),
    )
    write_runs(
        folder,
        run_all(seeds=seeds, n_step=n_step),
        command="python -m scaling_transformers.society.bias_runs",
        corpus=corpus,
        n_step=n_step,
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        n_sentence=N_SENTENCE,
        n_test=N_TEST,
    )


def _alone(seed: int, *, n_step: int) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    return run_seed(seed, n_step=n_step)


def _measured(predict: Any, log_probabilities: Any) -> dict[str, float]:
    one, other = (log_probabilities(texts).sum(axis=1) for texts in stereotyped_pairs())
    losses = {f"loss_{name}": -float(log_probabilities(t).mean()) for name, t in held_out_texts().items()}
    return {**gaps(predict)._asdict(), **losses, "stereotype": stereotype_score(one, other).value}


if __name__ == "__main__":
    make_all(Path(str(_DATA)))
