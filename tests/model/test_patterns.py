"""What a model with a sparse pattern promises: the pairs of the pattern, and the work of its tiles alone."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import forward_flops
from scaling_transformers.model import Transformer
from scaling_transformers.sparsity import BigBird, Blocks, Dilated, Fixed, Strided, TopK, Window

N_CTX, VOCAB = 12, 11
TILED = [
    Window(3, block=4),
    Dilated(2, 3, block=2),
    Strided(4, block=2),
    Fixed(4, 1),
    BigBird(2),
    Blocks(4, np.eye(3)),
]
PATTERNS = [*TILED, TopK(3)]
of_each = pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: type(pattern).__name__)
of_tiled = pytest.mark.parametrize("pattern", TILED, ids=lambda pattern: type(pattern).__name__)


def make(pattern, **changes):
    """A small model in float64, its weights large enough for attention to have a say."""
    sizes = {"n_layer": 2, "d_model": 16, "n_head": 4, "n_kv_head": 2, "vocab_size": VOCAB, "n_ctx": N_CTX}
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**{**sizes, **changes}, pattern=pattern)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=2, n=N_CTX):
    return torch.randint(VOCAB, (batch, n), generator=torch.Generator().manual_seed(1))


@of_each
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_no_output_has_a_gradient_by_a_later_token(pattern, position):
    model, tokens, seen = make(pattern, position=position), some_tokens(), []
    model.embedding.register_forward_hook(lambda *call: (seen.append(call[2]), call[2].retain_grad())[0])
    out = model(tokens)
    for t in range(N_CTX):
        (gradient,) = torch.autograd.grad(out[:, t].square().sum(), seen[0], retain_graph=True)
        assert (gradient[:, t + 1 :] == 0).all()
        assert (gradient[:, t] != 0).any(dim=-1).all()


@of_tiled
def test_one_layer_reads_the_keys_of_the_pattern_and_no_others(pattern):
    model, tokens, seen = make(pattern, n_layer=1), some_tokens(), []
    model.embedding.register_forward_hook(lambda *call: (seen.append(call[2]), call[2].retain_grad())[0])
    out = model(tokens)
    for t in range(N_CTX):
        (gradient,) = torch.autograd.grad(out[:, t].square().sum(), seen[0], retain_graph=True)
        read = (gradient != 0).any(dim=-1).numpy()
        np.testing.assert_array_equal(read, np.broadcast_to(pattern.mask(N_CTX)[t], read.shape))


@of_each
@pytest.mark.parametrize("n", [N_CTX, 4])
@torch.no_grad()
def test_the_weights_shown_are_the_weights_used(pattern, n):
    model, tokens = make(pattern), some_tokens(n=n)
    logits, shown = model(tokens, return_attention=True)
    torch.testing.assert_close(logits, model(tokens), rtol=1e-10, atol=1e-10)
    allowed = torch.from_numpy(pattern.mask(n))
    for weights in shown:
        assert weights.shape == (2, 4, n, n)
        if isinstance(pattern, TopK):
            assert not (weights[:, :, ~allowed] > 0).any()
            assert ((weights > 0).sum(dim=-1) == torch.arange(1, n + 1).clamp(max=pattern.k)).all()
        else:
            assert ((weights > 0) == allowed).all()
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, n, dtype=torch.float64))


@torch.no_grad()
def test_a_window_by_tiles_is_the_window_of_the_config():
    by_tiles, masked, tokens = make(Window(3, block=4)), make(None, window=3), some_tokens()
    torch.testing.assert_close(by_tiles(tokens), masked(tokens), rtol=1e-10, atol=1e-10)


@of_each
@pytest.mark.parametrize("ends", [range(N_CTX + 1), [0, 4, 5, 12], [0, 7, 12], [0, 12]])
@torch.no_grad()
def test_reading_in_pieces_through_the_cache_gives_the_logits_of_one_pass(pattern, ends):
    model, tokens = make(pattern, position="rotary"), some_tokens()
    whole, shown = model(tokens, return_attention=True)
    cache = model.new_cache(batch=2)
    for start, end in itertools.pairwise(ends):
        out, pieces = model(tokens[:, start:end], cache=cache, return_attention=True)
        torch.testing.assert_close(out, whole[:, start:end], rtol=1e-9, atol=1e-9)
        for piece, weights in zip(pieces, shown, strict=True):
            torch.testing.assert_close(piece, weights[:, :, start:end, :end], rtol=1e-9, atol=1e-9)
    cache = model.new_cache(batch=2)
    plain = [model(tokens[:, start:end], cache=cache) for start, end in itertools.pairwise(ends)]
    torch.testing.assert_close(torch.cat(plain, dim=1), whole, rtol=1e-9, atol=1e-9)


@of_each
@torch.no_grad()
def test_a_text_of_any_length_is_gone_on_with(pattern):
    model, tokens = make(pattern), some_tokens(n=3)
    text = model.generate(tokens, max_new_tokens=9, temperature=0)
    assert (model(text)[:, 2:-1].argmax(dim=-1) == text[:, 3:]).all()


@of_each
@torch.no_grad()
def test_no_real_token_reads_padding(pattern):
    model, tokens = make(pattern), some_tokens()
    mask = torch.ones(2, N_CTX, dtype=torch.bool)
    mask[0, 5:] = False
    mask[1, :3] = False
    out, shown = model(tokens, mask=mask, return_attention=True)
    torch.testing.assert_close(out[mask], model(tokens, mask=mask)[mask], rtol=1e-10, atol=1e-10)
    other = torch.where(mask, tokens, (tokens + 1) % VOCAB)
    torch.testing.assert_close(model(other, mask=mask)[mask], out[mask], rtol=1e-10, atol=1e-10)
    for weights in shown:
        assert not (weights[0, :, :5, 5:] > 0).any()
        assert not (weights[1, :, 3:, :3] > 0).any()
    alone = model(tokens[:1, :4])  # whole tiles, of a text without its end
    torch.testing.assert_close(out[0, :4], alone[0], rtol=1e-10, atol=1e-10)


@of_each
@pytest.mark.parametrize("n", [N_CTX, 4])
def test_it_costs_the_flops_that_are_counted(pattern, n):
    model, tokens = make(pattern), some_tokens(n=n)
    # torch's counter sees the products of its plain kernel only, which multiplies what the fused one does.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(tokens)
        forward = counter.get_total_flops()
        logits.sum().backward()
    assert forward_flops(model.config, batch=2, seq_len=n).total == forward
    assert counter.get_total_flops() == 3 * forward


def test_a_sparse_pattern_costs_less_than_a_dense_model_and_its_pairs_less_than_its_tiles():
    sparse, dense = make(BigBird(2)).config, make(None).config
    tiles, pairs, every = (
        forward_flops(config, batch=1, seq_len=N_CTX, causal_skip=skip).by_part["scores"]
        for config, skip in ((sparse, False), (sparse, True), (dense, False))
    )
    assert pairs < tiles < every


def test_many_models_at_once_attend_by_tiles_as_well():
    model, tokens = make(BigBird(2)), some_tokens()
    weights = {name: torch.stack([w, 1.1 * w]).detach() for name, w in model.named_parameters()}

    def run(some):
        return torch.func.functional_call(model, some, (tokens,))

    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():  # as training does; vmap has no rule for the other
        both = torch.func.vmap(run)(weights)
        torch.testing.assert_close(both[0], model(tokens), rtol=1e-10, atol=1e-10)


@of_each
def test_torch_compiles_the_model_into_one_graph(pattern):
    model, tokens = make(pattern, n_layer=1), some_tokens()
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(tokens), model(tokens), rtol=1e-10, atol=1e-10)


def test_a_text_that_the_tiles_do_not_divide_is_named():
    with pytest.raises(ValueError, match="tokens must have a length that the pattern's block of 4 divides"):
        make(Window(3, block=4))(some_tokens(n=6))


@pytest.mark.parametrize(
    ("pattern", "changes", "message"),
    [
        (Window(5), {}, "pattern must have a block that divides n_ctx=12; got block=5"),
        (Window(4, causal=False), {}, "pattern must have causal=True; got Window"),
        (Blocks(4, np.eye(2)), {}, "pattern must cover n_ctx=12 tokens: n must be at most 8"),
        (Window(4), {"position": "alibi"}, "position='alibi' cannot go with pattern"),
        (Window(4), {"kind": "encoder"}, "pattern needs kind='decoder'"),
        (Window(4), {"window": 2}, "window cannot go with pattern"),
        (np.tri(12), {}, "pattern must be one of scaling_transformers.sparsity"),
    ],
)
def test_a_pattern_that_does_not_fit_the_model_is_named(pattern, changes, message):
    with pytest.raises(ValueError, match=message):
        make(pattern, **changes)


@pytest.mark.parametrize("pattern", [Blocks(6, np.eye(2)), TopK(12)])
def test_a_config_with_a_pattern_is_a_key(pattern):
    config = make(pattern).config
    assert config.replace() == config
    assert len({config, config.replace(pattern=Window(3)), config.replace(pattern=None)}) == 3
