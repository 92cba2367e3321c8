"""What a model with a mixture of depths promises: blocks that read some tokens, and no look ahead in use."""

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import count_parameters, forward_flops
from scaling_transformers.attention import rotary_table
from scaling_transformers.efficiency import lora_parameters, quantized_bytes
from scaling_transformers.efficiency.lora import add_lora
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Trace, Transformer
from scaling_transformers.model.attention import Context
from scaling_transformers.model.block import Block
from scaling_transformers.model.depths import RoutedBlock
from scaling_transformers.training import train_stacked


def make(seed=0, **changes):
    """A small model in float64, its weights large enough for attention and routers to have a say."""
    sizes = {"n_layer": 4, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 12, "depth_keep": 0.5}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{**sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=3, n=9):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(1))


def test_every_second_block_is_routed_and_a_share_of_one_is_the_dense_model():
    assert [type(block) for block in make().blocks] == [Block, RoutedBlock] * 2
    assert [type(block) for block in make(depth_keep=1.0).blocks] == [Block] * 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("changes", [{"position": "rotary", "n_kv_head": 2}, {"position": "none"}])
@torch.no_grad()
def test_a_routed_block_is_the_block_on_the_tokens_kept_text_by_text(training, changes):
    model = make(**changes)
    block, config = model.blocks[1].train(training), model.config
    x = torch.randn(3, 9, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    table = rotary_table(torch.arange(9), d=4) if config.position == "rotary" else None
    trace = Trace()
    out, _ = block(x, Context(rotary=table, trace=trace))
    counts = set()
    for text in range(3):
        scores = x[text] @ block.depth_router.weight[0]
        rows = scores.topk(5).indices.sort().values if training else torch.where(scores > 0)[0]
        rotary = None if table is None else (table[0][rows], table[1][rows])
        read = x[text, rows][None]
        alone = Block.forward(block, read, Context(rotary=rotary))[0]
        wanted = x[text].clone()
        wanted[rows] += scores[rows, None] * (alone - read)[0]
        torch.testing.assert_close(out[text], wanted)
        assert torch.where(trace.kept[0][text])[0].tolist() == rows.tolist()
        counts.add(len(rows))
    assert (len(counts) == 1) is training  # in eval mode rows of different lengths were filled up


@torch.no_grad()
def test_without_a_token_to_read_a_routed_block_passes_all():
    model, trace = make().eval(), Trace()
    model.blocks[1].depth_router.weight.zero_()
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    out, _ = model.blocks[1](x, Context(trace=trace))
    assert torch.equal(out, x)
    assert not trace.kept[0].any()


def reach(model, tokens, query):
    """For each token, whether the logits at ``query`` have any gradient by its embedding."""
    seen = []
    hook = model.embedding.register_forward_hook(
        lambda *call: (seen.append(call[2]), call[2].retain_grad())[0]
    )
    model(tokens)[:, query].square().sum().backward()
    hook.remove()
    return (seen[0].grad != 0).any(dim=-1)


def earlier_outputs_change(model, at=5):
    """Whether any other token in a place changes what the model says before it."""
    tokens = some_tokens()
    with torch.no_grad():
        before = model(tokens)[:, :at]
        for token in range(11):
            tokens[:, at] = token
            if not torch.allclose(model(tokens)[:, :at], before, rtol=0, atol=1e-10):
                return True
    return False


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary", "none"])
def test_eval_mode_never_looks_ahead(position):
    model = make(position=position).eval()
    for query in (0, 4, 8):
        assert (reach(model, some_tokens(), query) == (torch.arange(9) <= query)).all()
    assert not earlier_outputs_change(model)


def test_training_mode_looks_ahead_for_it_ranks_the_whole_text():
    assert earlier_outputs_change(make())


@torch.no_grad()
def test_the_trace_has_the_tokens_kept_in_each_routed_block():
    model = make(depth_keep=0.3)
    for training in (True, False):
        trace = Trace()
        model.train(training)(some_tokens(), trace=trace)
        assert [kept.shape for kept in trace.kept] == [(3, 9)] * 2
        assert len(trace.losses) == (2 if training else 0)
        counts = torch.stack(trace.kept).sum(dim=-1)
        assert bool((counts == math.ceil(0.3 * 9)).all()) is training


def test_the_loss_of_the_guess_trains_the_routers_alone():
    model, trace = make(), Trace()
    model(some_tokens(), trace=trace)
    sum(trace.losses).backward()
    with_gradient = {name for name, each in model.named_parameters() if each.grad is not None}
    assert with_gradient == {f"blocks.{layer}.depth_router.weight" for layer in (1, 3)}


def test_the_model_itself_gives_its_routers_a_gradient():
    model = make()
    model(some_tokens()).square().sum().backward()
    assert all(model.blocks[layer].depth_router.weight.grad.abs().sum() > 0 for layer in (1, 3))


def test_the_routers_learn_to_tell_who_is_kept():
    model = make(depth_keep=0.25)
    tokens = torch.randint(11, (32, 12), generator=torch.Generator().manual_seed(3))
    routers = [model.blocks[layer].depth_router.weight for layer in (1, 3)]
    optimizer = torch.optim.Adam(routers, lr=0.03)
    losses = []
    for _ in range(60):
        trace = Trace()
        model(tokens, trace=trace)
        loss = sum(trace.losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("position", ["learned", "rotary"])
@torch.no_grad()
def test_generation_in_eval_mode_is_the_likeliest_of_the_full_pass(position):
    model, tokens = make(position=position).eval(), some_tokens(n=3)
    text = model.generate(tokens, max_new_tokens=9, temperature=0)
    assert text.shape == (3, 12)
    assert (text[:, :3] == tokens).all()
    assert (model(text)[:, 2:-1].argmax(dim=-1) == text[:, 3:]).all()


@torch.no_grad()
def test_a_head_gate_of_zero_removes_the_head_in_a_routed_block_too():
    model = make().eval()
    gate = torch.ones(4, 4, dtype=torch.float64)
    gate[1, 2] = 0
    gated = model(some_tokens(), head_gate=gate)
    assert not torch.allclose(gated, model(some_tokens()))
    model.blocks[1].attention.out.weight[:, 8:12] = 0
    torch.testing.assert_close(gated, model(some_tokens()))


SPREAD = [
    {},
    {"depth_keep": 0.125, "n_layer": 5, "position": "rotary"},
    {"depth_keep": 0.9, "n_layer": 2, "activation": "swiglu", "bias": False},
    {"n_expert": 3, "n_expert_active": 2, "n_expert_shared": 1, "tie_embeddings": False},
]


@pytest.mark.parametrize("changes", SPREAD)
@pytest.mark.parametrize("n", [1, 7, 12])
def test_it_costs_and_holds_what_is_counted(changes, n):
    model = make(**changes)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(some_tokens(n=n))
    assert counter.get_total_flops() == forward_flops(model.config, batch=3, seq_len=n).total
    assert sum(each.numel() for each in model.parameters()) == count_parameters(model.config).total


def test_routers_are_quantised_and_updated_as_counted():
    model = make().float()
    wanted = quantized_bytes(model.config, bits=4, bytes_per_element=4)
    quantize_model(model, bits=4)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}.values()
    assert sum(each.numel() * each.element_size() for each in tensors) == wanted
    updated = add_lora(make(), rank=1, targets=("depth_router", "up"))
    trained = sum(each.numel() for each in updated.parameters() if each.requires_grad)
    assert trained == lora_parameters(updated.config, rank=1, targets=("depth_router", "up"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make()(some_tokens(), mask=torch.ones(3, 9, dtype=torch.bool)),
            "mask cannot go with depth_keep=0.5",
        ),
        (
            lambda: make()(some_tokens(), return_attention=True),
            "return_attention cannot go with depth_keep=0.5",
        ),
        (
            lambda: make().new_cache(batch=1),
            "a cache needs tokens that can be read one by one; depth_keep=0.5",
        ),
        (
            lambda: make().generate(some_tokens(), max_new_tokens=1),
            r"depth_keep=0.5 looks ahead in training; call model.eval\(\) first",
        ),
        (lambda: share_layers(make(), group=2), "depth_keep must be 1 to share layers; got 0.5"),
        (
            lambda: train_stacked([make()], None, n_step=1, batch=1, n=4, learning_rates=[1e-3], seeds=[0]),
            "models must have no mixture of depths to be stacked",
        ),
        (
            lambda: make(n_expert=2, routing="expert_choice"),
            "depth_keep cannot go with expert_choice or capacity_factor",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
