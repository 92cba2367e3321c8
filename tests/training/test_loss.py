import pytest
import torch
from torch.nn import functional as F

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Trace, Transformer
from scaling_transformers.training import loss as loss_module
from scaling_transformers.training import next_token_loss


def make(*, tie_embeddings: bool = True, seed: int = 0) -> tuple[Transformer, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(2, 16, 2, 50, 12, tie_embeddings=tie_embeddings)).double()
    tokens = torch.randint(0, 50, (3, 12))
    return model, tokens[:, :-1], tokens[:, 1:]


def plain_loss(model: Transformer, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("tie_embeddings", [True, False])
@pytest.mark.parametrize("n_token", [1, 7, 33, 1000])
def test_loss_and_gradients_are_those_of_the_logits(monkeypatch, tie_embeddings, n_token):
    monkeypatch.setattr(loss_module, "_LOGITS_AT_ONCE", n_token * 50)
    model, tokens, targets = make(tie_embeddings=tie_embeddings)
    expected = plain_loss(model, tokens, targets)
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    found = next_token_loss(model, tokens, targets)
    (2.0 * found).backward()
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, 2.0 * gradients[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_token", [7, 1000])
def test_under_autocast_loss_and_gradients_are_near_those_of_the_logits(monkeypatch, n_token):
    monkeypatch.setattr(loss_module, "_LOGITS_AT_ONCE", n_token * 50)
    model, tokens, targets = make(tie_embeddings=False)
    expected = plain_loss(model.float(), tokens, targets)
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found = next_token_loss(model, tokens, targets)
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), abs=1e-2)
    for name, parameter in model.named_parameters():
        assert parameter.grad.dtype == torch.float32
        error = (parameter.grad - gradients[name]).norm() / gradients[name].norm().clamp(min=1e-4)
        assert error < 0.05, name


@pytest.mark.parametrize("n_token", [1, 7, 1000])
@pytest.mark.parametrize("autocast", [False, True])
def test_several_states_of_a_token_count_by_their_shares(monkeypatch, n_token, autocast):
    monkeypatch.setattr(loss_module, "_LOGITS_AT_ONCE", n_token * 50)
    config = TransformerConfig(3, 16, 2, 50, 12, tie_embeddings=False, halting="ponder")
    torch.manual_seed(0)
    model, tokens = Transformer(config), torch.randint(0, 50, (3, 12))
    tokens, targets, trace = tokens[:, :-1], tokens[:, 1:], Trace()
    model(tokens, trace=trace)
    expected = sum(
        (
            trace.probabilities[..., step]
            * F.cross_entropy(model.unembedding(states).transpose(1, 2), targets, reduction="none")
        ).mean()
        for step, states in enumerate(trace.states)
    )
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = next_token_loss(model, tokens, targets, trace=Trace())
    (2.0 * found).backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), abs=1e-2 if autocast else 1e-6)
    for name, parameter in model.named_parameters():
        if autocast and name.startswith("halting"):
            continue  # the steps' losses are nearly alike here: rounding hides how they differ
        error = (parameter.grad / 2 - gradients[name]).norm() / gradients[name].norm().clamp(min=1e-4)
        assert error < (0.1 if autocast else 1e-3), name


def test_the_way_to_the_hidden_states_can_be_another():
    model, tokens, targets = make()
    doubled = next_token_loss(model, tokens, targets, hidden=lambda t: 2 * model.hidden(t))
    with torch.no_grad():
        model.final_norm.weight.mul_(2)
        model.final_norm.bias.mul_(2)
    assert doubled.item() == pytest.approx(plain_loss(model, tokens, targets).item(), abs=1e-12)


def test_only_what_is_trained_gets_a_gradient():
    model, tokens, targets = make(tie_embeddings=False)
    model.unembedding.weight.requires_grad_(False)
    next_token_loss(model, tokens, targets).backward()
    assert model.unembedding.weight.grad is None
    assert all(p.grad is not None for p in model.blocks.parameters())


def test_works_without_gradients():
    model, tokens, targets = make()
    with torch.no_grad():
        found = next_token_loss(model, tokens, targets)
    assert found.item() == pytest.approx(plain_loss(model, tokens, targets).item(), abs=1e-12)


def test_logits_too_large_for_exp_give_a_finite_loss():
    model, tokens, targets = make()
    with torch.no_grad():
        model.final_norm.weight.mul_(1e5)
    assert torch.isfinite(next_token_loss(model, tokens, targets))


def test_a_second_backward_is_refused():
    model, tokens, targets = make()
    loss = next_token_loss(model, tokens, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


def test_targets_that_do_not_fit_are_refused():
    model, tokens, targets = make()
    with pytest.raises(ValueError, match="targets must have the shape of tokens"):
        next_token_loss(model, tokens, targets[:, 1:])
    with pytest.raises(ValueError, match="targets must lie below vocab_size=50"):
        next_token_loss(model, tokens, targets + 50)
