"""What pooling promises: means of the tokens it names, and none that comes later."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.sparsity.hierarchy import (
    entropy_threshold,
    patch_starts,
    pool_groups,
    pool_patches,
    spread_groups,
    spread_patches,
    token_entropies,
)

X = torch.zeros(2, 3, 4)
sizes = given(n=st.integers(1, 13), size=st.integers(1, 6), seed=st.integers(0, 99))
quick = settings(deadline=None, derandomize=True, max_examples=40)


def some(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some_starts(batch, n, seed):
    starts = torch.rand(batch, n, generator=torch.Generator().manual_seed(seed)) < 0.4
    starts[:, 0] = True
    return starts


def every(size, *, batch, n):
    return (torch.arange(n) % size == 0).expand(batch, n)


@sizes
@quick
def test_a_group_is_the_mean_of_the_tokens_since_the_last_one(n, size, seed):
    x = some(2, n, 3, seed=seed)
    pooled = pool_groups(x, size=size)
    assert pooled.shape == (2, math.ceil(n / size), 3)
    for group in range(pooled.shape[1]):
        tokens = x[:, max(0, (group - 1) * size + 1) : group * size + 1]
        torch.testing.assert_close(pooled[:, group], tokens.mean(dim=1))
    spread = spread_groups(pooled, size=size, n=n)
    for token in range(n):
        assert torch.equal(spread[:, token], pooled[:, token // size])


@sizes
@quick
def test_patches_of_one_length_are_groups(n, size, seed):
    x, starts = some(2, n, 3, seed=seed), every(size, batch=2, n=n)
    short = pool_patches(x, starts)
    torch.testing.assert_close(short, pool_groups(x, size=size))
    assert torch.equal(spread_patches(short, starts), spread_groups(short, size=size, n=n))


@sizes
@quick
def test_a_patch_is_the_mean_of_the_tokens_since_the_last_start_in_each_text(n, size, seed):
    x, starts = some(3, n, 2, seed=seed), some_starts(3, n, seed)
    short = pool_patches(x, starts)
    spread = spread_patches(short, starts)
    assert short.shape == (3, int(starts.sum(dim=1).max()), 2)
    assert short.isfinite().all()
    for text in range(3):
        opened = starts[text].nonzero().flatten().tolist()
        for patch, (before, here) in enumerate(zip([-1, *opened[:-1]], opened, strict=True)):
            mean = x[text, before + 1 : here + 1].mean(dim=0)
            torch.testing.assert_close(short[text, patch], mean)
        for token in range(n):
            last = max(patch for patch, start in enumerate(opened) if start <= token)
            assert torch.equal(spread[text, token], short[text, last])


@sizes
@quick
def test_no_token_reads_of_a_later_one_and_each_reads_up_to_its_start(n, size, seed):
    starts = some_starts(1, n, seed)
    ways = {
        "groups": (
            lambda x: spread_groups(pool_groups(x, size=size), size=size, n=n),
            every(size, batch=1, n=n),
        ),
        "patches": (lambda x: spread_patches(pool_patches(x, starts), starts), starts),
    }
    for there_and_back, opened in ways.values():
        reads = torch.autograd.functional.jacobian(there_and_back, some(1, n, 1, seed=seed)).reshape(n, n)
        assert not reads.triu(1).any()
        for token in range(n):
            last_start = int(opened[0, : token + 1].nonzero().max())
            assert int(reads[token].nonzero().max()) == last_start


def test_entropies_are_those_of_the_prediction_of_each_token():
    logits = some(2, 5, 7)
    entropies = token_entropies(logits)
    wanted = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropies[:, 1:], wanted[:, :-1])
    torch.testing.assert_close(entropies[:, 0], torch.full((2,), math.log(7), dtype=torch.float64))
    certain = torch.tensor([[[0.0, -math.inf], [0.0, 0.0]]])
    assert token_entropies(certain)[0, 1] == 0


def test_patches_begin_where_the_words_of_a_learned_text_do():
    words = [[0, 1, 2], [3, 4, 5, 6], [7, 8], [9, 10, 11, 12, 13]]
    generator = torch.Generator().manual_seed(0)

    def text(n):
        order = torch.randint(len(words), (n,), generator=generator).tolist()
        tokens = [token for word in order for token in words[word]]
        begins = [place == 0 for word in order for place in range(len(words[word]))]
        return torch.tensor(tokens[:n]), torch.tensor(begins[:n])

    torch.manual_seed(0)
    model = Transformer(TransformerConfig(1, 16, 2, 14, 25))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        tokens = torch.stack([text(25)[0] for _ in range(16)])
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, begins = (torch.stack(part) for part in zip(*(text(25) for _ in range(8)), strict=True))
    with torch.no_grad():
        entropies = token_entropies(model(tokens))
    assert torch.equal(patch_starts(entropies, threshold=math.log(4) / 2), begins)
    found = entropy_threshold(entropies, mean_length=begins.numel() / int(begins.sum()))
    assert torch.equal(patch_starts(entropies, threshold=found), begins)


@given(batch=st.integers(1, 3), n=st.integers(1, 12), share=st.floats(0, 1), seed=st.integers(0, 99))
@quick
def test_a_threshold_makes_patches_of_the_length_asked_for(batch, n, share, seed):
    entropies, mean_length = some(batch, n, seed=seed).abs(), 1 + share * (n - 1)
    starts = patch_starts(entropies, threshold=entropy_threshold(entropies, mean_length=mean_length))
    assert starts[:, 0].all()
    assert int(starts.sum()) == round(batch * n / mean_length)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pool_groups(X[0], size=2), r"states must be a floating tensor of shape \(batch, n, d\)"),
        (lambda: pool_groups(X.long(), size=2), "states must be a floating tensor"),
        (lambda: pool_groups(X, size=0), "size must be a whole number of at least 1; got 0"),
        (lambda: spread_groups(X, size=2, n=9), r"short must have ceil\(n / size\)=5 positions; got 3"),
        (lambda: pool_patches(X, X[..., 0]), "starts must be a boolean tensor.*; got torch.float32"),
        (lambda: pool_patches(X, X[:, :2, 0] == 0), r"starts must have shape \(2, 3\); got \(2, 2\)"),
        (lambda: pool_patches(X, X[..., 0] == 1), "starts must be True at the first token of each text"),
        (
            lambda: spread_patches(X[:, :2], X[..., 0] == 0),
            "short must have a position for each start; got 2",
        ),
        (
            lambda: token_entropies(X[0]),
            r"logits must be a floating tensor of shape \(batch, n, vocab_size\)",
        ),
        (lambda: patch_starts(X[0, 0], threshold=1), r"entropies must be .* of shape \(batch, n\)"),
        (lambda: patch_starts(X[0] / 0, threshold=1), "entropies must be finite"),
        (lambda: patch_starts(X[0], threshold=math.nan), "threshold must be a finite number; got nan"),
        (lambda: entropy_threshold(X[0], mean_length=0.5), "mean_length must be a number from 1 to n=4"),
        (lambda: entropy_threshold(X[0], mean_length=5), "mean_length must be a number from 1 to n=4"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
