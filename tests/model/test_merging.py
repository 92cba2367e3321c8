"""What an encoder promises that merges tokens: fewer of them, each counted as often as it was."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import count_parameters, forward_flops
from scaling_transformers.attention import alibi_bias, rotary_table
from scaling_transformers.model import Transformer
from scaling_transformers.model.attention import Context
from scaling_transformers.model.merging import Merging
from scaling_transformers.model.trace import Trace

POSITIONS = ["learned", "sinusoidal", "rotary", "alibi", "none"]


def make(seed=0, **changes):
    """A small encoder in float64, its weights large enough for attention to have a say."""
    sizes = {"n_layer": 2, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 16, "n_merge": 4}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{"kind": "encoder", **sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=3, n=16, seed=1):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n_layer", "copies", "n_kv_head"), [(1, 2, 4), (2, 4, 4), (2, 4, 2)])
@torch.no_grad()
def test_copies_are_merged_without_a_trace_where_positions_do_not_tell_them_apart(n_layer, copies, n_kv_head):
    design = {"n_layer": n_layer, "position": "none", "n_kv_head": n_kv_head}
    torch.manual_seed(0)
    distinct = torch.stack([torch.randperm(11)[: 16 // copies] for _ in range(3)])
    tokens, trace = distinct.repeat_interleave(copies, dim=1), Trace()
    merged = make(**design)(tokens, trace=trace)
    torch.testing.assert_close(merged, make(**design, n_merge=0)(tokens))
    for text in range(3):  # and only copies were merged
        pairs = zip(trace.merged[text].tolist(), tokens[text].tolist(), strict=True)
        assert len(set(pairs)) == 16 - 4 * n_layer


@pytest.mark.parametrize("position", POSITIONS)
@torch.no_grad()
def test_an_encoder_that_merges_no_pair_is_the_plain_one(position):
    model, tokens = make(position=position, n_merge=0), some_tokens()
    seen = []
    for layer, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *call, layer=layer: seen.append((layer, *call[1], call[2][0])))
    model(tokens)
    for layer, x, context, out in list(seen):  # the hooks go on adding to it
        merging = Merging(model.config, x)
        context = context._replace(
            mask=merging.mask(context.mask), rotary=merging.rotary(context.rotary), merging=merging
        )
        torch.testing.assert_close(model.blocks[layer](x, context)[0], out)
        torch.testing.assert_close(merging.unmerge(out), out)


@pytest.mark.parametrize("position", POSITIONS)
@torch.no_grad()
def test_tokens_that_became_one_share_their_output(position):
    model, tokens, trace = make(position=position, n_merge=3), some_tokens(), Trace()
    hidden = model.hidden(tokens, trace=trace)
    assert hidden.shape == (3, 16, 16)
    assert trace.merged.shape == (3, 16)
    for text in range(3):
        group = trace.merged[text]
        assert sorted(set(group.tolist())) == list(range(16 - 2 * 3))
        same = (hidden[text, :, None] == hidden[text, None]).all(dim=-1)
        assert same[group[:, None] == group].all()


@torch.no_grad()
def test_a_merged_token_attends_from_one_place_and_weighs_as_much_as_its_tokens():
    config = make(n_merge=3).config
    x = torch.randn(2, 12, 16, dtype=torch.float64)
    merging = Merging(config, x)
    for _ in range(2):
        merging.keys = x
        x = merging.merge(x)
    assert (merging.size.sum(dim=1) == 12).all()
    table = rotary_table(torch.arange(12), d=4)
    mask = merging.mask(torch.from_numpy(alibi_bias(4, 12)))
    angles = merging.rotary(table)
    for text in range(2):
        places = merging.places[text].tolist()
        assert places == sorted(places)
        for place, size, index in zip(places, merging.size[text].tolist(), range(6), strict=True):
            members = (merging.group[text] == index).nonzero().flatten().tolist()
            assert place in members
            assert len(members) == size
        for part, angle in zip(rotary_table(torch.tensor(places), d=4), angles, strict=True):
            torch.testing.assert_close(angle[text, 0], part)
        wanted = alibi_bias(4, 12)[:, places][:, :, places] + np.log(merging.size[text].numpy())
        np.testing.assert_allclose(mask[text], wanted)
        logs = merging.size[text].log()
        torch.testing.assert_close(merging.mask(None)[text], logs.expand(1, 1, -1))


@torch.no_grad()
def test_a_key_counts_in_attention_as_often_as_it_has_tokens():
    model = make(n_layer=1, position="none")
    block, x = model.blocks[0], torch.randn(1, 4, 16, dtype=torch.float64)
    times = torch.tensor([1, 3, 2, 1])
    logs = times.double().log()[None, None, None]
    short, _ = block.attention(x, Context(mask=logs))
    long, _ = block.attention(x.repeat_interleave(times, dim=1), Context())
    torch.testing.assert_close(short.repeat_interleave(times, dim=1), long)


@torch.no_grad()
def test_the_weights_shown_are_the_weights_used():
    model, tokens = make(position="alibi"), some_tokens()
    logits, patterns = model(tokens, return_attention=True)
    torch.testing.assert_close(logits, model(tokens))
    assert [weights.shape for weights in patterns] == [(3, 4, 16, 16), (3, 4, 12, 12)]


@torch.no_grad()
def test_the_token_that_the_pooler_reads_is_not_merged_while_there_are_others():
    model, trace = make(pooler=True, n_merge=3), Trace()
    tokens = torch.zeros(1, 16, dtype=torch.int64)
    model(tokens, trace=trace)
    assert (trace.merged == trace.merged[:, :1]).sum() == 1
    assert model.pooled(tokens).shape == (1, 16)


def test_a_merged_text_trains():
    model = make(position="rotary")
    model(some_tokens()).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert (model.embedding.weight.grad != 0).any()


@given(
    n_layer=st.integers(1, 3),
    n_merge=st.integers(0, 3),
    batch=st.integers(1, 2),
    more=st.integers(0, 5),
    position=st.sampled_from(POSITIONS),
    n_kv_head=st.sampled_from([1, 2]),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_it_costs_what_the_counter_of_torch_sees(n_layer, n_merge, batch, more, position, n_kv_head):
    config = TransformerConfig(
        n_layer, 8, 2, 11, 18, kind="encoder", n_merge=n_merge, position=position, n_kv_head=n_kv_head
    )
    model, n = Transformer(config), max(2, (n_layer + 1) * n_merge) + more
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(some_tokens(batch, n), return_attention=True)
    assert forward_flops(config, batch=batch, seq_len=n).total == counter.get_total_flops()
    assert count_parameters(config).total == sum(parameter.numel() for parameter in model.parameters())


def test_padding_and_texts_too_short_are_refused():
    tokens = some_tokens()
    with pytest.raises(ValueError, match="mask cannot go with n_merge=4"):
        make()(tokens, mask=tokens >= 0)
    with pytest.raises(ValueError, match=r"tokens must have a length of at least .*=12.*; got 11"):
        make()(tokens[:, :11])
    make()(tokens[:, :12])
    with pytest.raises(ValueError, match="starts need shorten of at least 2"):
        make()(tokens, starts=tokens >= 0)


def test_torch_compiles_it_into_one_graph_and_gives_it_shapes_without_numbers():
    model, tokens = make(position="alibi"), some_tokens()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tokens), model(tokens))
    torch.compiler.reset()
    with torch.device("meta"):
        assert Transformer(model.config)(tokens.to("meta")).shape == (3, 16, 11)
