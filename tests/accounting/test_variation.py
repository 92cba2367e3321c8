"""What many configs at once promise: the numbers of a loop over them, and the error of the first bad one."""

import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    arithmetic_intensity,
    chinchilla_forward_flops,
    count_parameters,
    forward_flops,
    kv_cache_bytes,
    training_flops,
    training_memory,
    vary,
)

POSSIBLE = {  # values that are often, not always, possible beside each other
    "n_layer": [1, 2, 5, 80],
    "d_model": [8, 16, 24, 4096],
    "n_head": [1, 2, 4, 8],
    "vocab_size": [1, 7, 50257],
    "n_ctx": [9, 16, 1024],
    "n_kv_head": [1, 2, 4],
    "d_head": [2, 3, 8],
    "d_ff": [1, 32, 11008],
    "n_token_type": [0, 2],
    "n_expert": [1, 2, 8],
    "n_expert_active": [1, 2],
    "window": [1, 3, 64],
}


@st.composite
def bases(draw):
    kind = draw(st.sampled_from(["decoder", "encoder"]))
    return TransformerConfig(
        draw(st.integers(1, 3)),
        8 * draw(st.integers(1, 4)),
        draw(st.sampled_from([1, 2, 4])),
        draw(st.integers(1, 20)),
        draw(st.integers(9, 12)),
        d_ff=draw(st.none() | st.integers(1, 20)),
        kind=kind,
        norm_placement=draw(st.sampled_from(["pre", "post"])),
        activation=draw(st.sampled_from(["gelu", "relu", "swiglu"])),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        position=draw(st.sampled_from(["learned", "sinusoidal", "rotary", "none"])),
        bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        pooler=kind == "encoder" and draw(st.booleans()),
        n_expert=draw(st.sampled_from([1, 4])),
        window=draw(st.none() | st.integers(1, 12)) if kind == "decoder" else None,
    )


@st.composite
def variations(draw):
    """A config, and arrays for some of its sizes, each along its own or a shared axis."""
    names = draw(st.lists(st.sampled_from(sorted(POSSIBLE)), unique=True, max_size=4))
    arrays = {}
    for name in names:
        length = draw(st.sampled_from([1, 3]))
        values = draw(st.lists(st.sampled_from(POSSIBLE[name]), min_size=length, max_size=length))
        arrays[name] = np.array(values).reshape(draw(st.sampled_from([(length,), (length, 1), (1, length)])))
    return draw(bases()), arrays


def loop(config, arrays):
    """Index and config, or error, of each combination, one by one."""
    shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    for index in np.ndindex(shape):
        sizes = {name: int(np.broadcast_to(array, shape)[index]) for name, array in arrays.items()}
        try:
            yield index, config.replace(**sizes)
        except ValueError as error:
            yield index, error


def numbers(count):
    """Every number that a count holds, by name."""
    if not hasattr(count, "__dataclass_fields__"):
        return {"": count}
    flat = {name: value for name, value in vars(count).items() if not isinstance(value, dict)}
    parts = {field: value for field, value in vars(count).items() if isinstance(value, dict)}
    return flat | {f"{field} {name}": value for field, by in parts.items() for name, value in by.items()}


@given(variation=variations(), batch=st.integers(1, 3), seq_len=st.integers(1, 9), data=st.data())
@settings(deadline=None, max_examples=300)
def test_many_configs_count_as_each_of_them_alone(variation, batch, seq_len, data):
    config, arrays = variation
    each = list(loop(config, arrays))
    bad = [(index, error) for index, error in each if isinstance(error, ValueError)]
    if bad:
        index, error = bad[0]
        expected = f"{error}; the first of {len(bad)} impossible combinations is at index {index}: "
        with pytest.raises(ValueError, match=re.escape(expected)):
            vary(config, **arrays)
        return
    many = vary(config, **arrays)
    skip = data.draw(st.booleans())
    counts = {
        count_parameters: {},
        forward_flops: {"batch": batch, "seq_len": seq_len, "causal_skip": skip},
        chinchilla_forward_flops: {"seq_len": seq_len},
        training_flops: {
            "n_tokens": 1e9,
            "seq_len": seq_len,
            "convention": data.draw(st.sampled_from(["exact", "6nd", "chinchilla"])),
        },
        training_memory: {
            "batch": batch,
            "seq_len": seq_len,
            "bytes_per_element": data.draw(st.sampled_from([0.5, 2, 4])),
            "checkpointing": data.draw(st.sampled_from(["none", "selective", "full"])),
            "dropout": data.draw(st.booleans()),
        },
    }
    new = seq_len if config.kind == "encoder" else data.draw(st.integers(1, seq_len))
    counts[arithmetic_intensity] = {"batch": batch, "seq_len": seq_len, "n_new": new}
    if config.kind == "decoder":
        counts[kv_cache_bytes] = {"batch": batch, "seq_len": seq_len, "bytes_per_element": 0.5}
    for count, options in counts.items():
        together = numbers(count(many, **options))
        for array in together.values():
            assert array.shape == many.shape
            assert array.dtype == (np.int64 if count is count_parameters else np.float64)
        for index, alone in each:
            assert many[index] == alone
            for name, value in numbers(count(alone, **options)).items():
                if count is count_parameters:
                    assert together[name][index] == value
                else:
                    assert together[name][index] == pytest.approx(value, rel=1e-14)


def test_lengths_batches_and_tokens_may_be_arrays_of_one_config():
    config = preset("mistral-7b")
    lengths, batches = np.array([1, 4096, 32768]), np.array([[1], [8]])
    one = vary(config)
    assert one.shape == ()
    flops = forward_flops(one, batch=batches, seq_len=lengths).total
    cache = kv_cache_bytes(one, batch=batches, seq_len=lengths)
    memory = training_memory(one, batch=batches, seq_len=lengths).activations
    training = training_flops(one, n_tokens=1e9 * batches, seq_len=lengths)
    assert flops.shape == cache.shape == memory.shape == training.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        batch, length = int(batches[i, 0]), int(lengths[j])
        assert flops[i, j] == pytest.approx(
            forward_flops(config, batch=batch, seq_len=length).total, rel=1e-14
        )
        assert cache[i, j] == kv_cache_bytes(config, batch=batch, seq_len=length)
        assert memory[i, j] == training_memory(config, batch=batch, seq_len=length).activations
        assert training[i, j] == pytest.approx(
            training_flops(config, n_tokens=1e9 * batch, seq_len=length), rel=1e-14
        )


def test_flops_beyond_the_largest_integer_do_not_wrap_around():
    config = preset("llama-3-405b")
    many = vary(config, n_layer=[126, 100_000])
    flops = forward_flops(many, batch=4096, seq_len=131072).total
    exact = forward_flops(config.replace(n_layer=100_000), batch=4096, seq_len=131072).total
    assert exact > 2**63
    assert flops[1] == pytest.approx(exact, rel=1e-14)


def test_flops_of_absurd_sizes_do_not_wrap_around_either():
    sizes = {"n_head": 2**40, "n_kv_head": 2**40, "d_head": 2**30}
    many, config = vary(preset("gpt2"), **sizes), preset("gpt2").replace(**sizes)
    for together, alone in (
        (forward_flops(many, batch=1, seq_len=8), forward_flops(config, batch=1, seq_len=8)),
        (chinchilla_forward_flops(many, seq_len=8), chinchilla_forward_flops(config, seq_len=8)),
    ):
        assert together.total == pytest.approx(alone.total, rel=1e-14)
    assert kv_cache_bytes(many, batch=1, seq_len=8) == kv_cache_bytes(config, batch=1, seq_len=8)


def test_more_parameters_than_an_integer_holds_are_refused():
    many = vary(preset("gpt2"), d_ff=[3072, 2**53], n_expert=[[1], [8]])
    with pytest.raises(ValueError, match=r"fewer than 2\*\*63 parameters"):
        count_parameters(many)


def test_one_config_keeps_python_integers():
    config = preset("mixtral-8x7b")
    counts = [
        count_parameters(config),
        forward_flops(config, batch=1, seq_len=8, causal_skip=True),
        kv_cache_bytes(config, batch=1, seq_len=8),
        training_memory(config, batch=1, seq_len=8),
    ]
    assert {type(value) for count in counts for value in numbers(count).values()} == {int}


def test_a_config_array_survives_a_copy_and_answers_for_no_method_of_one_config():
    many = pickle.loads(pickle.dumps(vary(preset("gpt2"), n_layer=[1, 2])))
    assert many[1] == preset("gpt2").replace(n_layer=2)
    with pytest.raises(AttributeError, match="replace"):
        many.replace(n_layer=3)
    with pytest.raises(ValueError, match="index must pick one config"):
        many[:]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": [1]}, "unknown field 'layers'"),
        ({"kind": ["encoder"]}, r"kind cannot vary, use config\.replace"),
        ({"rope_theta": [1e4]}, "rope_theta cannot vary"),
        ({"n_layer": [1.0]}, "n_layer must be an array of whole numbers .* dtype float64"),
        ({"n_layer": [True]}, "n_layer must be an array of whole numbers .* dtype bool"),
        ({"n_layer": [[1], [2, 3]]}, "n_layer must be .*unequal length"),
        ({"n_layer": []}, "n_layer must not be empty"),
        ({"n_layer": [2**60]}, r"n_layer must be .* at most 2\*\*53"),
        (
            {"n_layer": [1, 2], "d_model": [12, 24, 36]},
            r"sizes must broadcast .*n_layer \(2,\), d_model \(3,\)",
        ),
        ({"n_layer": [1, 0, -1]}, r"n_layer must be .* got 0; the first of 2 .* at index \(1,\): n_layer=0"),
        (
            {"d_model": [[768], [770]], "n_layer": [1, 2]},
            r"n_head must divide d_model=770 .* at index \(1, 0\): d_model=770, n_layer=1",
        ),
        ({"n_head": 0}, r"n_head must be .* at index \(\): n_head=0"),
    ],
)
def test_what_cannot_vary_is_refused_by_its_name(sizes, message):
    with pytest.raises(ValueError, match=message):
        vary(preset("gpt2"), **sizes)


@pytest.mark.parametrize(
    ("changes", "sizes", "message"),
    [
        ({}, {"n_expert_active": [1, 2]}, "n_expert_active must be at most n_expert=1; got 2"),
        ({}, {"n_kv_head": [4, 5]}, "n_kv_head must divide n_head=12; got 5"),
        ({}, {"n_token_type": [0, -1]}, "n_token_type must be a whole number of at least 0; got -1"),
        ({}, {"window": [4, 0]}, "window must be a whole number of at least 1; got 0"),
        ({"position": "rotary"}, {"d_head": [64, 63]}, "d_head must be even"),
        ({"position": "rotary"}, {"d_model": [768, 12]}, "d_head must be even"),
        ({"position": "sinusoidal", "d_head": 32}, {"d_model": [768, 13]}, "d_model must be even"),
    ],
)
def test_each_rule_of_one_config_holds_for_many(changes, sizes, message):
    with pytest.raises(ValueError, match=rf"{message}.*the first of 1 impossible .* at index \(1,\)"):
        vary(preset("gpt2").replace(**changes), **sizes)


def test_only_one_config_can_be_varied():
    with pytest.raises(ValueError, match="config must be a TransformerConfig"):
        vary(vary(preset("gpt2")), n_layer=[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": [1.0, 2.0]}, "batch must be a whole number or an array"),
        ({"batch": [2, 0]}, "batch must be whole numbers of at least 1; got 0"),
        ({"batch": []}, "batch must be a whole number or an array"),
        ({"batch": [1, 2, 3]}, r"batch must broadcast against the shape \(2,\); got shape \(3,\)"),
        ({"seq_len": [8, 2048]}, "seq_len must be at most n_ctx=1024; got 2048"),
        ({"seq_len": [1, 2, 3]}, r"seq_len must broadcast against the shape \(2,\); got shape \(3,\)"),
    ],
)
def test_what_no_passes_can_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        forward_flops(vary(preset("gpt2"), n_layer=[1, 2]), **{"batch": 1, "seq_len": 8, **options})


@pytest.mark.parametrize("n_tokens", [[1.0, 0.0], [np.nan], [np.inf], ["1"], []])
def test_what_no_trainings_can_be_is_refused(n_tokens):
    with pytest.raises(ValueError, match="n_tokens must be"):
        training_flops(vary(preset("gpt2")), n_tokens=n_tokens)


def test_an_array_for_one_config_is_told_where_it_belongs():
    with pytest.raises(ValueError, match=r"batch must be a whole number .* count vary\(config\)"):
        forward_flops(preset("gpt2"), batch=np.array([1, 2]), seq_len=8)
