"""What a model promises whose middle reads a shorter text: the hourglass, by groups and by patches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import count_parameters, forward_flops
from scaling_transformers.attention import rotary_table
from scaling_transformers.model import Transformer
from scaling_transformers.model.attention import Context

POSITIONS = ["learned", "sinusoidal", "rotary", "none"]


def make(seed=0, **changes):
    """A small model in float64, its weights large enough for attention to have a say."""
    sizes = {"n_layer": 4, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 12, "shorten": 3}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{**sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=3, n=11, seed=1):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(seed))


def some_starts(batch=3, n=11, seed=2):
    starts = torch.rand(batch, n, generator=torch.Generator().manual_seed(seed)) < 0.4
    starts[:, 0] = True
    return starts


def gradients(model, tokens, starts):
    """For each pair of output and input, whether the logits have any gradient by the embedding: (n, n)."""
    seen = []
    hook = model.embedding.register_forward_hook(
        lambda *call: (seen.append(call[2]), call[2].retain_grad())[0]
    )
    logits, rows = model(tokens, starts=starts), []
    hook.remove()
    for token in range(tokens.shape[1]):
        seen[0].grad = None
        logits[:, token].square().sum().backward(retain_graph=True)
        rows.append((seen[0].grad != 0).any(dim=-1))
    return torch.stack(rows, dim=1)  # (batch, output, input)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("n", "shorten"), [(1, 2), (7, 2), (8, 2), (11, 3), (12, 4), (9, 12)])
def test_no_logit_depends_on_a_later_token_and_each_on_all_before(position, n, shorten):
    model, tokens = make(position=position, shorten=shorten, n_layer=3), some_tokens(n=n)
    behind = torch.ones(n, n, dtype=torch.bool).tril().expand(3, n, n)
    assert torch.equal(gradients(model, tokens, None), behind)
    assert torch.equal(gradients(model, tokens, some_starts(n=n)), behind)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("shorten", [2, 3, 5])
@torch.no_grad()
def test_the_middle_reads_means_and_adds_what_it_makes_of_them(position, shorten):
    model, tokens, n = make(position=position, shorten=shorten), some_tokens(), 11
    x = model.embedding(tokens)
    if position == "learned":
        x = x + model.position_embedding.weight[:n]
    if position == "sinusoidal":
        x = x + model.position_table[:n]

    def through(blocks, x):
        angles = rotary_table(torch.arange(x.shape[1]), d=4) if position == "rotary" else None
        for block in blocks:
            x, _ = block(x, Context(rotary=angles))
        return x

    x = through(model.blocks[:1], x)
    opened = range(0, n, shorten)
    short = torch.stack([x[:, max(0, i - shorten + 1) : i + 1].mean(dim=1) for i in opened], dim=1)
    short = through(model.blocks[1:-1], short)
    x = x + torch.stack([short[:, i // shorten] for i in range(n)], dim=1)
    wanted = model.final_norm(through(model.blocks[-1:], x))
    torch.testing.assert_close(model.hidden(tokens), wanted)


@pytest.mark.parametrize("shorten", [2, 3, 4])
@torch.no_grad()
def test_the_start_of_a_text_is_read_as_if_it_were_all(shorten):
    model, tokens, starts = make(shorten=shorten, position="rotary"), some_tokens(), some_starts()
    fixed, patches = model(tokens), model(tokens, starts=starts)
    for n in range(1, 12):
        torch.testing.assert_close(model(tokens[:, :n]), fixed[:, :n])
        torch.testing.assert_close(model(tokens[:, :n], starts=starts[:, :n]), patches[:, :n])


@pytest.mark.parametrize("position", POSITIONS)
@torch.no_grad()
def test_patches_of_one_length_are_the_hourglass_and_texts_do_not_touch(position):
    model, tokens, starts = make(position=position), some_tokens(), some_starts()
    every_third = (torch.arange(11) % 3 == 0).expand(3, 11)
    torch.testing.assert_close(model(tokens, starts=every_third), model(tokens))
    assert len(set(starts.sum(dim=1).tolist())) > 1  # so that some are padded
    together = model(tokens, starts=starts)
    torch.testing.assert_close(model.hidden(tokens, starts=starts) @ model.embedding.weight.T, together)
    for text in range(3):
        alone = model(tokens[text : text + 1], starts=starts[text : text + 1])
        torch.testing.assert_close(alone[0], together[text])


def test_padding_passes_no_gradient_that_is_not_a_number():
    model = make()
    model(some_tokens(), starts=some_starts()).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@torch.no_grad()
def test_it_goes_on_with_a_text_by_reading_it_again():
    model, tokens = make(position="rotary"), some_tokens(n=4)
    written = model.generate(tokens, max_new_tokens=7, temperature=0)
    for n in range(4, 11):
        assert torch.equal(written[:, n], model(written[:, :n])[:, -1].argmax(dim=-1))


@torch.no_grad()
def test_weights_are_shown_and_heads_cut_of_the_positions_that_each_block_reads():
    model, tokens = make(), some_tokens()
    logits, patterns = model(tokens, return_attention=True)
    torch.testing.assert_close(logits, model(tokens))
    assert [weights.shape[-1] for weights in patterns] == [11, 4, 4, 11]
    gate = torch.ones(4, 4)
    gate[1, 2] = 0
    cut = make()
    cut.blocks[1].attention.out.weight[:, 8:12] = 0
    torch.testing.assert_close(model(tokens, head_gate=gate), cut(tokens))


@given(
    n_layer=st.integers(3, 5),
    shorten=st.integers(2, 7),
    batch=st.integers(1, 2),
    n=st.integers(2, 12),
    position=st.sampled_from(POSITIONS),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_it_costs_what_the_counter_of_torch_sees(n_layer, shorten, batch, n, position):
    config = TransformerConfig(
        n_layer, 8, 2, 11, 12, shorten=shorten, position=position, n_kv_head=1, activation="swiglu"
    )
    model = Transformer(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(some_tokens(batch, n), return_attention=True)
    assert forward_flops(config, batch=batch, seq_len=n).total == counter.get_total_flops()
    assert count_parameters(config).total == sum(parameter.numel() for parameter in model.parameters())


TOKENS = torch.zeros(1, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("shorten", "arguments", "message"),
    [
        (3, {"mask": TOKENS == 0}, "mask cannot go with shorten=3"),
        (3, {"starts": TOKENS}, "starts must be a boolean tensor.*; got torch.int64"),
        (3, {"starts": TOKENS[0] == 0}, r"starts must have shape \(1, 4\); got \(4,\)"),
        (3, {"starts": TOKENS == 1}, "starts must be True at the first token"),
        (1, {"starts": TOKENS == 0}, "starts need shorten of at least 2 in the config; got 1"),
    ],
)
def test_what_does_not_go_with_a_shorter_text_is_named(shorten, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(shorten=shorten)(TOKENS, **arguments)


@torch.no_grad()
def test_there_is_no_cache_of_a_shorter_text():
    with pytest.raises(ValueError, match="a cache needs tokens that can be read one by one; shorten="):
        make().new_cache(batch=1)
    cache = make(shorten=1).new_cache(batch=1)
    with pytest.raises(ValueError, match="cache cannot go with shorten=3"):
        make()(TOKENS, cache=cache)


def test_torch_compiles_it_into_one_graph_and_gives_it_shapes_without_numbers():
    model, tokens = make(position="rotary"), some_tokens()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tokens), model(tokens))
    torch.compiler.reset()
    with torch.device("meta"):
        assert Transformer(model.config)(tokens.to("meta")).shape == (3, 11, 11)
