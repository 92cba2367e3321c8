"""What decoding promises: the cache changes nothing but the work, and tokens follow the model's chances."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer

N_CTX, VOCAB = 12, 11


def make(seed=0, **changes):
    """A small model in float64, its weights large enough for attention to have a say."""
    sizes = {"n_layer": 2, "d_model": 16, "n_head": 4, "vocab_size": VOCAB, "n_ctx": N_CTX}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{**sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=2, n=N_CTX):
    return torch.randint(VOCAB, (batch, n), generator=torch.Generator().manual_seed(1))


DESIGNS = st.fixed_dictionaries(
    {
        "position": st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "none"]),
        "n_kv_head": st.sampled_from([1, 2, 4]),
        "window": st.sampled_from([None, 1, 2, 3, 5, 20]),
        "n_expert": st.sampled_from([1, 3]),
        "norm_placement": st.sampled_from(["pre", "post"]),
    }
)


@settings(deadline=None, max_examples=60)
@given(design=DESIGNS, cuts=st.sets(st.integers(1, N_CTX - 1)))
@torch.no_grad()
def test_reading_in_pieces_through_the_cache_gives_the_logits_of_one_pass(design, cuts):
    model, tokens = make(**design), some_tokens()
    whole, patterns = model(tokens, return_attention=True)
    for shown in (False, True):
        cache, ends = model.new_cache(batch=2), [0, *sorted(cuts), N_CTX]
        for start, end in itertools.pairwise(ends):
            out = model(tokens[:, start:end], cache=cache, return_attention=shown)
            if shown:
                out, pieces = out
                for piece, pattern in zip(pieces, patterns, strict=True):
                    seen = pattern[:, :, start:end, end - piece.shape[-1] : end]
                    torch.testing.assert_close(piece, seen, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(out, whole[:, start:end], rtol=1e-9, atol=1e-9)
        assert cache.n_seen == N_CTX


@torch.no_grad()
def test_with_a_window_the_cache_does_not_grow_with_the_text():
    model = make(window=3, n_ctx=1000, position="rotary")
    cache = model.new_cache(batch=1)
    for _ in range(40):
        model(torch.zeros(1, 1, dtype=torch.int64), cache=cache)
    assert cache.n_seen == 40
    assert all(layer.keys.shape[2] <= 6 for layer in cache.layers)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("position", ["learned", "rotary", "alibi"])
@torch.no_grad()
def test_at_temperature_zero_each_token_is_the_likeliest(position, window):
    model, tokens = make(position=position, window=window, n_kv_head=2), some_tokens(n=4)
    text = model.generate(tokens, max_new_tokens=8, temperature=0)
    assert text.shape == (2, 12)
    assert (text[:, :4] == tokens).all()
    assert (model(text)[:, 3:-1].argmax(dim=-1) == text[:, 4:]).all()


def frequencies(model, tokens, n_draw=40_000, **settings):
    text = model.generate(
        tokens.expand(n_draw, -1),
        max_new_tokens=1,
        generator=torch.Generator().manual_seed(0),
        **settings,
    )
    return np.bincount(text[:, -1], minlength=VOCAB) / n_draw


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("top_k", "top_p"), [(None, None), (4, None), (None, 0.6), (6, 0.8)])
@torch.no_grad()
def test_tokens_are_drawn_with_the_chances_of_the_truncated_softmax(temperature, top_k, top_p):
    model, tokens = make(tie_embeddings=False), some_tokens(batch=1, n=3)
    logits = model(tokens)[0, -1].numpy() / temperature
    chances = np.exp(logits) / np.exp(logits).sum()
    order = np.argsort(-chances)
    if top_k is not None:
        chances[order[top_k:]] = 0
        chances /= chances.sum()
    if top_p is not None:
        n_kept = 1 + int(np.searchsorted(np.cumsum(chances[order]), top_p))
        chances[order[n_kept:]] = 0
        chances /= chances.sum()
    drawn = frequencies(model, tokens, temperature=temperature, top_k=top_k, top_p=top_p)
    assert (drawn[chances == 0] == 0).all()
    error = np.sqrt(chances * (1 - chances) / 40_000)
    assert (np.abs(drawn - chances) <= 5 * error + 1e-12).all()


@torch.no_grad()
def test_the_coldest_and_the_narrowest_draws_are_the_likeliest_token():
    model, tokens = make(), some_tokens(n=4)
    greedy = model.generate(tokens, max_new_tokens=6, temperature=0)
    for settings_ in ({"temperature": 1e-300}, {"top_k": 1}, {"top_p": 1e-9}):
        assert (model.generate(tokens, max_new_tokens=6, **settings_) == greedy).all()


@torch.no_grad()
def test_the_generator_decides_the_text():
    model, tokens = make(), some_tokens(n=4)
    texts = [
        model.generate(tokens, max_new_tokens=8, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert (texts[0] == texts[1]).all()
    assert not (texts[0] == texts[2]).all()


def test_nothing_to_add_leaves_the_text_and_int32_stays():
    tokens = some_tokens().int()
    assert (make().generate(tokens, max_new_tokens=0) == tokens).all()
    assert make().generate(tokens[:, :3], max_new_tokens=2).dtype == torch.int32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_new_tokens": 9}, "max_new_tokens must be at most n_ctx=12 less the 4 tokens given; got 9"),
        ({"max_new_tokens": -1}, "max_new_tokens must be a whole number of at least 0; got -1"),
        ({"max_new_tokens": 1.0}, "max_new_tokens must be a whole number"),
        ({"temperature": -0.1}, "temperature must be a finite number of at least 0; got -0.1"),
        ({"temperature": math.nan}, "temperature must be a finite number"),
        ({"temperature": True}, "temperature must be a finite number"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1; got 0"),
        ({"top_k": 12}, "top_k must be at most vocab_size=11; got 12"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1; got 0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1; got 1.1"),
        ({"tokens": torch.zeros(1, 13, dtype=torch.int64)}, "tokens must have a length from 1 to n_ctx=12"),
        ({"tokens": torch.zeros(1, 4)}, "tokens must be a tensor of whole numbers"),
    ],
)
def test_bad_arguments_of_generate_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make().generate(**{"tokens": some_tokens(n=4), "max_new_tokens": 2, **arguments})


def test_an_encoder_does_not_generate():
    with pytest.raises(ValueError, match="kind must be 'decoder' in the config for a cache; got 'encoder'"):
        make(kind="encoder").generate(some_tokens(n=4), max_new_tokens=2)


def test_bad_use_of_a_cache_is_named():
    model, tokens = make(), some_tokens(n=4)
    with pytest.raises(ValueError, match="n_tokens must be at most n_ctx=12; got 13"):
        model.new_cache(batch=1, n_tokens=13)
    with pytest.raises(ValueError, match="batch must be a whole number of at least 1; got 0"):
        model.new_cache(batch=0)
    cache = model.new_cache(batch=2, n_tokens=6)
    with pytest.raises(ValueError, match="cache keeps no gradients"):
        model(tokens, cache=cache)
    with torch.no_grad():
        model(tokens, cache=cache)
        with pytest.raises(ValueError, match="room of 6 tokens, 4 of them used; got 4 more"):
            model(tokens, cache=cache)
        with pytest.raises(ValueError, match="tokens must have the cache's batch of 2; got 1"):
            model(tokens[:1], cache=cache)
        with pytest.raises(ValueError, match="mask cannot go with a cache"):
            model(tokens[:, :1], cache=cache, mask=tokens[:, :1] >= 0)
