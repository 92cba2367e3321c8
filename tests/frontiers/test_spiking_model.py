"""The surrogate's gradient by hand, what neurons emit, what tokens hear, and work counted another way."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers.frontiers.spiking_model import (
    DECAY,
    THRESHOLD,
    Projection,
    SequenceClassifier,
    probed,
    surrogate_spike,
    work_of,
)


def model_and_input(n_time, *, mixer="attention", seed=0):
    torch.manual_seed(seed)
    model = SequenceClassifier(5, 6, 3, d_model=8, n_head=2, d_ff=12, n_time=n_time, mixer=mixer)
    for module in model.modules():  # shifts that let many neurons fire
        if isinstance(module, torch.nn.BatchNorm1d):
            module.bias.data.uniform_(0.0, 1.0)
    x = torch.rand(4, 5, 6)
    for _ in range(20):
        model(x)  # fills the running statistics
    return model.eval(), x


def test_the_surrogate_is_a_step_forward_and_the_fast_sigmoids_slope_backward():
    x = torch.tensor([-1.0, -0.25, 0.0, 0.5], requires_grad=True)
    spikes = surrogate_spike(x, slope=2.0)
    assert spikes.tolist() == [0.0, 0.0, 1.0, 1.0]
    (spikes * torch.tensor([1.0, 1.0, 1.0, 3.0])).sum().backward()
    np.testing.assert_allclose(x.grad, [1 / 9, 1 / 2.25, 1.0, 3 / 4], rtol=1e-6)


def test_gradients_reach_every_weight_of_the_spiking_model():
    model, x = model_and_input(4)
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_neurons_of_the_spiking_model_emit_ones_and_zeros_alone():
    model, x = model_and_input(3)
    with torch.no_grad(), probed(model) as seen:
        model(x)
    assert set(seen) == {"block", "query", "key", "value", "out", "up", "down", "read"}
    for spikes in seen.values():
        assert set(spikes.unique().tolist()) == {0.0, 1.0}
        assert spikes.shape[:2] == (3, 4)
    assert model.probe is None


def test_one_time_step_compares_the_current_with_the_threshold():
    model, x = model_and_input(1)
    with torch.no_grad(), probed(model) as seen:
        model(x)
        stream = model.embed(x) + model.place
    assert torch.equal(seen["block"][0], (stream >= THRESHOLD).float())
    assert 0 < DECAY < 1


@pytest.mark.parametrize("n_time", [None, 2])
def test_tokens_change_places_together_with_their_position_and_the_answer_stays(n_time):
    model, x = model_and_input(n_time)
    order = torch.tensor([2, 0, 3, 1, 4])  # the last, which is read, stays
    with torch.no_grad():
        before = model(x)
        model.place.data = model.place.data[order]
        after = model(x[:, order])
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize("n_time", [None, 2])
def test_the_last_token_hears_of_others_by_attention_and_by_the_mean(n_time):
    for mixer in ("attention", "mean"):
        model, x = model_and_input(n_time, mixer=mixer)
        other = x.clone()
        other[:, 0] = 3 * x[:, 0].flip(-1)
        with torch.no_grad():
            assert not torch.allclose(model(x), model(other))


def test_a_projection_after_training_is_one_linear_map():
    torch.manual_seed(0)
    layer = Projection(3, 4)
    layer(torch.randn(100, 3))  # fills the running statistics
    layer.eval()
    with torch.no_grad():
        shift = layer(torch.zeros(1, 3))
        matrix = layer(torch.eye(3)) - shift
        x = torch.randn(7, 3)
        torch.testing.assert_close(layer(x), x @ matrix + shift)


def test_products_of_the_dense_model_are_what_torch_counts():
    model, x = model_and_input(None)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x)
    assert 2 * len(x) * work_of(model, x).products == counter.get_total_flops()


def test_accumulates_of_the_spiking_model_are_its_events_one_by_one():
    model, x = model_and_input(2)
    met, handles = [], []
    layers = [model.query, model.key, model.value, model.out, model.up, model.down]
    for linear in [layer.linear for layer in layers] + [model.read]:
        count = lambda module, inputs, out: met.append(int(inputs[0].count_nonzero()) * out.shape[-1])  # noqa: E731
        handles.append(linear.register_forward_hook(count))
    with torch.no_grad(), probed(model) as seen:
        model(x)
    for handle in handles:
        handle.remove()
    events = sum(met)
    assert events > 1000
    q, k, v = (seen[name].numpy() for name in ("query", "key", "value"))
    for t, b, head in itertools.product(range(2), range(4), (slice(0, 4), slice(4, 8))):
        for i, j in itertools.product(range(5), range(5)):
            score = sum(q[t, b, i, c] * k[t, b, j, c] for c in range(head.start, head.stop))
            events += score  # a pair of spikes is one addition to the score
            if score:
                events += v[t, b, j, head].sum()  # each spike of the value adds the score once
    fixed = 2 * (5 * (6 * 8 + 12) + 3 + 2 * 5 * 8)  # biases and two residual sums, each time step
    work = work_of(model, x)
    assert work.accumulates == pytest.approx(events / 4 + fixed)
    assert work.products == 5 * 6 * 8
    assert work.updates == 2 * (5 * (6 * 8 + 12) + 8)
    assert work.weights_shared == 6 * 8 + 4 * 64 + 2 * 96 + 24
    assert work.weights_each == pytest.approx(sum(met) / 4 + 5 * 6 * 8)


def test_bad_models_are_refused():
    for name in ("n_token", "n_in", "n_class"):
        sizes = {"n_token": 5, "n_in": 6, "n_class": 3, name: 0}
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            SequenceClassifier(**sizes)
    with pytest.raises(ValueError, match="n_head must divide d_model = 64; got 3"):
        SequenceClassifier(5, 6, 3, n_head=3)
    with pytest.raises(ValueError, match="mixer must be one of"):
        SequenceClassifier(5, 6, 3, mixer="sum")
    with pytest.raises(ValueError, match="n_time must be a whole number"):
        SequenceClassifier(5, 6, 3, n_time=0)
    model, x = model_and_input(None, mixer="mean")
    with pytest.raises(ValueError, match="model must be one with attention"):
        work_of(model, x)
