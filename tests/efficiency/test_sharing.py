"""What shared layers promise: fewer parameters, the same work, and a cache that still knows its places."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Transformer

TOKENS = torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(0))


def make(**changes):
    torch.manual_seed(0)
    return Transformer(TransformerConfig(5, 16, 4, 11, 16, **changes))


@pytest.mark.parametrize(
    ("group", "places"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 2, 2, 4]), (3, [0, 0, 0, 3, 3]), (5, [0] * 5)]
)
@torch.no_grad()
def test_every_run_of_blocks_computes_with_its_first(group, places):
    plain, shared = make(), share_layers(make(), group=group)
    for layer, place in enumerate(places):
        plain.blocks[layer].load_state_dict(make().blocks[place].state_dict())
    assert torch.equal(shared(TOKENS), plain(TOKENS))


def count_flops(model):
    with FlopCounterMode(display=False) as counter:
        model(TOKENS).sum().backward()
    return counter.get_total_flops()


def test_the_work_is_that_of_the_model_that_shares_nothing():
    assert count_flops(share_layers(make(), group=5)) == count_flops(make())


@torch.no_grad()
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_cache_keeps_each_place_apart(position):
    model = share_layers(make(position=position, window=6), group=3)
    cache = model.new_cache(batch=2)
    parts = [model(part, cache=cache) for part in TOKENS.split([4, 1, 1, 3], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(TOKENS))


def test_a_shared_block_learns_from_all_its_places():
    plain, shared = make(), share_layers(make(), group=5)
    for block in plain.blocks:
        block.load_state_dict(shared.blocks[0].state_dict())
    for model in (plain, shared):
        model(TOKENS).square().mean().backward()
    for name, parameter in shared.blocks[0].named_parameters():
        parts = [dict(block.named_parameters())[name].grad for block in plain.blocks]
        torch.testing.assert_close(parameter.grad, torch.stack(parts).sum(dim=0))


@pytest.mark.parametrize("group", [0, 6, True])
def test_a_group_that_cannot_be_is_refused(group):
    with pytest.raises(ValueError, match="group must be a whole number from 1 to 5; got"):
        share_layers(make(), group=group)
