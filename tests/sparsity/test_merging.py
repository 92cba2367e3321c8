"""What merging promises: the most similar pairs, their weighted mean, and nobody lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.sparsity.merging import merge_tokens, unmerge_tokens


def some(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def one_by_one(x, keys, size, r, keep_first):
    """The same for one text, pair by pair: for each token, the one it goes into; then the means."""
    n, pairs = len(x), []
    for token in range(0, n, 2):
        cosines = {
            other: keys[token] @ keys[other] / np.linalg.norm(keys[token]) / np.linalg.norm(keys[other])
            for other in range(1, n, 2)
        }
        if cosines:
            other = max(cosines, key=cosines.get)
            pairs.append((-np.inf if keep_first and token == 0 else cosines[other], token, other))
    goes_into = list(range(n))
    for _, token, other in sorted(pairs, reverse=True)[:r]:
        goes_into[token] = other
    left = sorted(set(goes_into))
    members = [[token for token in range(n) if goes_into[token] == other] for other in left]
    means = [np.average(x[each], axis=0, weights=size[each]) for each in members]
    return np.array(means), [size[each].sum() for each in members], [left.index(i) for i in goes_into], left


cases = given(n=st.integers(1, 12), share=st.floats(0, 1), keep_first=st.booleans(), seed=st.integers(0, 999))


@cases
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_most_similar_pairs_become_their_mean_weighted_by_size(n, share, keep_first, seed):
    r, x, keys = int(share * (n // 2)), some(2, n, 3, seed=seed), some(2, n, 5, seed=seed + 1)
    size = some(2, n, seed=seed + 2).abs() + 1
    merged = merge_tokens(x, keys, size, r=r, keep_first=keep_first)
    for text in range(2):
        arrays = (part[text].numpy() for part in (x, keys, size))
        means, sizes, group, left = one_by_one(*arrays, r, keep_first)
        np.testing.assert_allclose(merged.x[text], means)
        np.testing.assert_allclose(merged.size[text], sizes)
        assert merged.group[text].tolist() == group
        assert merged.kept[text].tolist() == left


@cases
@settings(deadline=None, derandomize=True, max_examples=40)
def test_merging_loses_no_token_and_no_weight(n, share, keep_first, seed):
    r, x, size = int(share * (n // 2)), some(2, n, 3, seed=seed), some(2, n, seed=seed + 2).abs() + 1
    x.requires_grad_()
    merged = merge_tokens(x, x, size, r=r, keep_first=keep_first)
    assert merged.x.shape == (2, n - r, 3)
    weighted = (merged.x * merged.size[..., None]).sum(dim=1)
    torch.testing.assert_close(weighted, (x * size[..., None]).sum(dim=1))
    weighted.sum().backward()
    torch.testing.assert_close(x.grad, size[..., None].expand_as(x))
    assert torch.equal(merged.group.gather(1, merged.kept), torch.arange(n - r).expand(2, -1))
    unmerged = unmerge_tokens(merged.x, merged.group)
    for text in range(2):
        assert torch.equal(unmerged[text], merged.x[text, merged.group[text]])


def test_without_a_pair_to_merge_nothing_changes():
    x, size = some(2, 5, 3), torch.ones(2, 5, dtype=torch.float64)
    merged = merge_tokens(x, x, size, r=0)
    assert torch.equal(merged.x, x)
    assert torch.equal(merged.size, size)
    assert merged.group.tolist() == merged.kept.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_copies_are_merged_first():
    x = some(1, 8, 3)
    x[:, 6], x[:, 2] = x[:, 1], x[:, 7]
    merged = merge_tokens(x, x, torch.ones(1, 8, dtype=torch.float64), r=2)
    assert merged.kept.tolist() == [[0, 1, 3, 4, 5, 7]]
    torch.testing.assert_close(merged.x, x[:, merged.kept[0]])
    assert merged.size.tolist() == [[1, 2, 1, 1, 1, 2]]


X = torch.zeros(2, 5, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[0]}, r"x must be a floating tensor of shape \(batch, n, d\)"),
        ({"x": X.long()}, "x must be a floating tensor"),
        ({"keys": X[:, :4]}, r"keys must have shape \(2, 5, d_key\); got \(2, 4, 3\)"),
        ({"size": X}, r"size must have shape \(2, 5\); got \(2, 5, 3\)"),
        ({"r": 3}, "r must be at most half of the 5 tokens; got 3"),
        ({"r": -1}, "r must be a whole number of at least 0; got -1"),
        ({"r": 1.0}, "r must be a whole number of at least 0; got 1.0"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    arguments = {"x": X, "keys": X, "size": X[..., 0] + 1, "r": 1, **changes}
    with pytest.raises(ValueError, match=message):
        merge_tokens(
            arguments.pop("x"),
            arguments.pop("keys"),
            arguments.pop("size"),
            r=arguments.pop("r"),
            **arguments,
        )
