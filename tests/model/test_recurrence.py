"""What a model that halts promises: one block, each token's own number of steps, and no look ahead."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import count_parameters, forward_flops
from scaling_transformers.efficiency import quantized_bytes, shared_parameters
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Trace, Transformer
from scaling_transformers.model.attention import Context
from scaling_transformers.sparsity.halting import flops_run
from scaling_transformers.training import next_token_loss, train, train_stacked

KINDS = ["act", "ponder"]
DESIGNS = st.fixed_dictionaries(
    {
        "halting": st.sampled_from(KINDS),
        "position": st.sampled_from(["learned", "rotary", "alibi", "none"]),
        "n_layer": st.integers(1, 5),
        "n_kv_head": st.sampled_from([2, 4]),
        "activation": st.sampled_from(["gelu", "swiglu"]),
        "norm": st.sampled_from(["layernorm", "rmsnorm"]),
    }
)


def make(seed=0, **changes):
    """A small model in float64 whose tokens halt at different steps."""
    sizes = {"n_layer": 4, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 8, "halting": "act"}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{**sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.halting.weight.copy_(0.5 * torch.randn_like(model.halting.weight))
        model.halting.bias.fill_(-0.5)
    return model


def some_tokens(batch=3, n=7, seed=1):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(seed))


def unrolled(model, n_layer):
    """The plain model of ``n_layer`` blocks, all of them the one block."""
    config = model.config.replace(halting=None, n_layer=n_layer)
    plain = Transformer(config).double()
    weights = {
        name.replace("blocks.0.", f"blocks.{layer}."): value
        for layer in range(n_layer)
        for name, value in model.state_dict().items()
        if not name.startswith("halting.")
    }
    plain.load_state_dict(weights)
    return plain


def steps_of_act(model, x):
    """Mean states and steps of adaptive computation time, token by token over one text's embedded tokens."""
    block, n = model.blocks[0], x.shape[0]
    means = torch.zeros_like(x)
    total, steps, running = [0.0] * n, [0] * n, set(range(n))
    for step in range(1, model.config.n_layer + 1):
        new = block(x[None], Context())[0][0]
        x = torch.stack([new[i] if i in running else x[i] for i in range(n)])
        for i in sorted(running):
            wish = torch.sigmoid(model.halting(model.final_norm(x[i]))).item()
            steps[i] = step
            if step == model.config.n_layer or total[i] + wish >= 0.99:
                means[i] += (1 - total[i]) * x[i]
                running.remove(i)
            else:
                means[i] += wish * x[i]
                total[i] += wish
    return means, steps


@settings(deadline=None, derandomize=True, max_examples=8)
@given(design=DESIGNS)
def test_it_has_the_parameters_and_in_training_the_flops_that_are_counted(design):
    model, tokens = make(**design), some_tokens()
    assert sum(p.numel() for p in model.parameters()) == count_parameters(model.config).total
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens)
    assert counter.get_total_flops() == forward_flops(model.config, batch=3, seq_len=7).total


@settings(deadline=None, derandomize=True, max_examples=12)
@given(design=DESIGNS, seed=st.integers(0, 1000))
@torch.no_grad()
def test_in_eval_mode_it_answers_as_in_training_and_runs_what_its_steps_say(design, seed):
    model, tokens = make(seed=seed, **design), some_tokens(seed=seed)
    traces = Trace(), Trace()
    logits = model(tokens, trace=traces[0])
    model.eval()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        again = model(tokens, trace=traces[1])
    torch.testing.assert_close(again, logits, rtol=1e-9, atol=1e-9)
    assert torch.equal(traces[0].steps, traces[1].steps)
    assert counter.get_total_flops() == flops_run(model.config, traces[1].steps)


def test_the_tokens_of_these_tests_halt_at_different_steps():
    for halting in KINDS:
        trace = Trace()
        make(halting=halting)(some_tokens(), trace=trace)
        assert len(trace.steps.unique()) > 1


@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_act_is_the_mean_of_states_that_are_kept_once_a_token_has_halted(seed):
    model, tokens, trace = make(seed=seed, position="none"), some_tokens(), Trace()
    found = model.hidden(tokens, trace=trace)
    costs = []
    for text, tokens_of_text in enumerate(tokens):
        means, steps = steps_of_act(model, model.embedding(tokens_of_text))
        torch.testing.assert_close(found[text], model.final_norm(means))
        assert trace.steps[text].tolist() == steps
        costs += steps
    (cost,) = trace.losses
    assert sum(costs) / len(costs) < cost <= sum(costs) / len(costs) + 1  # remainders are from 0 to 1


@pytest.mark.parametrize("position", ["learned", "rotary"])
@torch.no_grad()
def test_ponders_states_are_those_of_plain_models_of_as_many_blocks(position):
    model, tokens, trace = make(halting="ponder", position=position), some_tokens(), Trace()
    logits = model(tokens, trace=trace)
    torch.testing.assert_close(trace.probabilities.sum(dim=-1), torch.ones(3, 7, dtype=torch.float64))
    for step in range(1, 5):
        plain = unrolled(model, step)(tokens)
        torch.testing.assert_close(model.unembedding(trace.states[step - 1]), plain)
        here = trace.steps == step
        torch.testing.assert_close(logits[here], plain[here])


def test_ponder_is_trained_on_the_loss_to_expect():
    model, tokens = make(halting="ponder", tie_embeddings=False), some_tokens(n=8)
    tokens, targets = tokens[:, :-1], tokens[:, 1:]
    trace = Trace()
    model(tokens, trace=trace)
    losses = torch.stack(
        [
            F.cross_entropy(model.unembedding(states).transpose(1, 2), targets, reduction="none")
            for states in trace.states
        ],
        dim=-1,
    )
    expected = (trace.probabilities * losses).sum(dim=-1).mean()
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    found = next_token_loss(model, tokens, targets, trace=Trace())
    found.backward()
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=0, atol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(design=DESIGNS, place=st.integers(1, 6), training=st.booleans())
@torch.no_grad()
def test_no_token_changes_what_comes_before_it(design, place, training):
    model, tokens = make(**design).train(training), some_tokens()
    changed = tokens.clone()
    changed[:, place:] = (changed[:, place:] + 1 + torch.arange(7 - place)) % 11
    traces = Trace(), Trace()
    before, after = (model(t, trace=trace) for t, trace in zip((tokens, changed), traces, strict=True))
    torch.testing.assert_close(before[:, :place], after[:, :place], rtol=1e-9, atol=1e-9)
    assert torch.equal(traces[0].steps[:, :place], traces[1].steps[:, :place])
    if design["halting"] == "ponder" and training:
        torch.testing.assert_close(*(trace.probabilities[:, :place] for trace in traces))


@pytest.mark.parametrize("halting", KINDS)
@pytest.mark.parametrize("query", [0, 3, 6])
def test_every_gradient_of_a_tokens_logits_is_by_itself_and_those_before(halting, query):
    model, seen = make(halting=halting), []
    model.embedding.register_forward_hook(lambda *call: (seen.append(call[2]), call[2].retain_grad())[0])
    trace = Trace()
    logits = model(some_tokens(), trace=trace)
    total = logits[:, query].square().sum()
    if trace.probabilities is not None:
        total = total + trace.probabilities[:, query].square().sum()
    total.backward()
    assert ((seen[0].grad != 0).any(dim=-1) == (torch.arange(7) <= query)).all()


@pytest.mark.parametrize("halting", KINDS)
@torch.no_grad()
def test_the_text_goes_on_with_the_likeliest_tokens(halting):
    model, tokens = make(halting=halting), some_tokens(n=3)
    text = model.generate(tokens, max_new_tokens=5, temperature=0)
    assert (text[:, :3] == tokens).all()
    assert (model(text)[:, 2:-1].argmax(dim=-1) == text[:, 3:]).all()


def test_at_the_start_act_weighs_all_steps_alike_and_ponder_halts_at_its_priors_rate():
    torch.manual_seed(0)
    config = TransformerConfig(4, 16, 4, 11, 8, halting="act")
    act, ponder = Trace(), Trace()
    Transformer(config)(some_tokens(), trace=act)
    Transformer(config.replace(halting="ponder"))(some_tokens(), trace=ponder)
    assert (act.steps == 4).all()
    assert act.losses[0].item() == pytest.approx(4.25, abs=0.1)
    assert ponder.probabilities[0, 0].tolist() == pytest.approx([0.2, 0.16, 0.128, 0.512], abs=0.1)


@pytest.mark.parametrize("halting", KINDS)
def test_it_learns_and_a_high_price_of_steps_makes_fewer(halting):
    text = torch.arange(8).repeat(50).numpy()
    config = TransformerConfig(4, 16, 2, 8, 16, halting=halting)
    steps = {}
    for price in (0.0, 1.0):
        torch.manual_seed(0)
        model, trace = Transformer(config), Trace()
        losses = train(model, text, n_step=40, batch=4, n=8, learning_rate=1e-2, auxiliary_weight=price)
        assert losses[-1] < 0.5 * losses[0]
        model(torch.arange(8)[None], trace=trace)
        steps[price] = trace.steps.double().mean().item()
    if halting == "act":  # PonderNet's price is that of leaving the prior, whose median is what 1 brings
        assert steps[1.0] < steps[0.0]


@pytest.mark.parametrize("halting", KINDS)
def test_states_of_every_step_are_given_to_who_asks(halting):
    trace = Trace(states=[])
    make(halting=halting)(some_tokens(), trace=trace)
    assert [tuple(states.shape) for states in trace.states] == [(3, 7, 16)] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": torch.ones(3, 7, dtype=torch.bool)}, "mask cannot go with halting='act'"),
        ({"head_gate": torch.ones(4, 4)}, "head_gate cannot go with halting='act'"),
        ({"return_attention": True}, "return_attention cannot go with halting"),
    ],
)
def test_what_cannot_go_with_halting_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make()(some_tokens(), **arguments)


def test_helpers_that_count_blocks_know_that_there_is_one():
    model = make()
    with pytest.raises(ValueError, match="a cache needs tokens that can be read one by one; halting="):
        model.new_cache(batch=1)
    with pytest.raises(ValueError, match=r"missing.*halting\.weight"):
        model.load_huggingface({"wte.weight": model.embedding.weight})
    for shares in (lambda: share_layers(model, group=2), lambda: shared_parameters(model.config, group=2)):
        with pytest.raises(ValueError, match="layers can be shared once"):
            shares()
    with pytest.raises(ValueError, match="models must have no halting to be stacked"):
        train_stacked(
            [model, copy.deepcopy(model)],
            some_tokens().flatten().numpy(),
            n_step=1,
            batch=1,
            n=4,
            learning_rates=[1.0, 1.0],
            seeds=[0, 1],
        )
    n_param = count_parameters(model.config).total
    n_code = sum(p.numel() for name, p in model.blocks[0].named_parameters() if p.ndim == 2)
    n_scale = sum(len(p) for name, p in model.blocks[0].named_parameters() if p.ndim == 2)
    assert quantized_bytes(model.config, bits=8, bytes_per_element=4) == (
        n_code + 4 * (n_param - n_code + n_scale)
    )
    assert quantize_model(model.float(), bits=8)(some_tokens()).isfinite().all()
