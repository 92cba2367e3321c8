"""What the roofline promises: bytes of products worked out by hand, and a machine below its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    accelerator,
    arithmetic_intensity,
    attainable_flops,
    count_parameters,
    forward_flops,
    kv_cache_bytes,
    least_seconds,
    measure_roofline,
    vary,
)

LLAMA = preset("llama-2-7b")


@st.composite
def decoders(draw):
    n_kv_head = draw(st.integers(1, 3))
    n_expert = draw(st.sampled_from([1, 2, 8]))
    return TransformerConfig(
        draw(st.integers(1, 3)),
        draw(st.integers(1, 16)),
        n_kv_head * draw(st.integers(1, 3)),
        draw(st.integers(1, 20)),
        12,
        n_kv_head=n_kv_head,
        d_head=draw(st.integers(1, 4)),
        d_ff=draw(st.integers(1, 20)),
        activation=draw(st.sampled_from(["gelu", "relu", "swiglu", "geglu"])),
        position="none",
        bias=False,
        tie_embeddings=draw(st.booleans()),
        n_expert=n_expert,
        n_expert_active=draw(st.integers(1, n_expert)),
        window=draw(st.none() | st.integers(1, 14)),
    )


def moved(m, n, k):
    """Bytes of a product of an (m, n) with an (n, k) matrix in 2-byte numbers."""
    return 2 * (m * n + n * k + m * k)


def test_a_model_of_one_layer_moves_what_its_products_move():
    config = TransformerConfig(1, 6, 4, 11, 10, n_kv_head=2, d_head=3, d_ff=7, activation="swiglu")
    traffic = arithmetic_intensity(config, batch=5, seq_len=10, n_new=4)
    tokens, keys = 5 * 4, 5 * 10
    assert traffic.bytes_by_part == {
        "query_key_value": moved(tokens, 6, 12 + 2 * 6),
        "scores": 2 * (tokens * 12 + keys * 6),  # queries of 4 heads, keys of 2
        "values": 2 * (keys * 6 + tokens * 12),
        "output": moved(tokens, 12, 6),
        "feed_forward": 2 * (tokens * 6 + 2 * 6 * 7 + tokens * 7)
        + moved(tokens, 7, 6),  # gated before written
        "router": 0,
        "unembedding": moved(tokens, 6, 11),
        "pooler": 0,
    }
    assert traffic.flops_by_part["scores"] == 5 * 4 * (2 * 4 * 10 * 3)  # heads of (4, 3) x (3, 10)
    assert traffic.intensity_by_part["output"] == 2 * tokens * 12 * 6 / moved(tokens, 12, 6)
    assert traffic.intensity_by_part["router"] == 0
    assert traffic.intensity == traffic.flops / traffic.bytes


@given(config=decoders(), batch=st.integers(1, 3), seq_len=st.integers(1, 12))
def test_reading_a_whole_text_takes_the_flops_of_a_forward_pass(config, batch, seq_len):
    traffic = arithmetic_intensity(config, batch=batch, seq_len=seq_len)
    forward = forward_flops(config, batch=batch, seq_len=seq_len)
    assert (traffic.flops, traffic.flops_by_part) == (forward.total, forward.by_part)
    assert list(traffic.bytes_by_part) == list(forward.by_part)


@given(config=decoders(), batch=st.integers(1, 3), seq_len=st.integers(1, 12))
def test_a_step_of_decoding_reads_the_cache_and_moves_queries_and_results(config, batch, seq_len):
    parts = arithmetic_intensity(config, batch=batch, seq_len=seq_len, n_new=1).bytes_by_part
    vectors = 2 * 2 * config.n_layer * batch * config.n_head * config.d_head
    assert parts["scores"] + parts["values"] == kv_cache_bytes(config, batch=batch, seq_len=seq_len) + vectors


@given(config=decoders(), seq_len=st.integers(1, 12), bytes_per_element=st.sampled_from([0.5, 2, 4]))
def test_what_does_not_grow_with_the_batch_is_the_weights(config, seq_len, bytes_per_element):
    """Without biases; norms and embeddings are no products. Of the experts enough tokens hit every one."""
    one, two = (
        arithmetic_intensity(
            config, batch=batch, seq_len=seq_len, n_new=seq_len, bytes_per_element=bytes_per_element
        ).bytes
        for batch in (1000, 2000)
    )
    parameters = count_parameters(config).by_part
    weights = parameters["attention"] + parameters["feed_forward"] + parameters["router"]
    weights += config.vocab_size * config.d_model
    assert 2 * one - two == pytest.approx(bytes_per_element * weights, rel=1e-6, abs=1e-3)


def test_one_token_reads_its_own_experts_only():
    config = preset("mixtral-8x7b")
    count = count_parameters(config)
    parts = arithmetic_intensity(config, batch=1, seq_len=1).bytes_by_part
    vectors = config.n_layer * 2 * 2 * (config.d_model + config.d_ff)
    active = count.by_part["feed_forward"] - (count.total - count.active)
    assert parts["feed_forward"] == 2 * (active + vectors)


@pytest.mark.parametrize(("n_expert", "n_active", "tokens"), [(8, 2, 3), (64, 6, 16), (4, 1, 7)])
def test_the_experts_read_are_those_that_random_choices_hit(n_expert, n_active, tokens):
    rng = np.random.default_rng(0)
    ranks = rng.random((10_000, tokens, n_expert)).argsort(axis=-1)  # a random order of experts a token
    hit = (ranks < n_active).any(axis=1).sum(axis=-1)
    config = TransformerConfig(1, 8, 1, 1, 100, d_ff=32, n_expert=n_expert, n_expert_active=n_active)
    for shape in ({"batch": tokens, "seq_len": 1}, {"batch": 1, "seq_len": tokens}):
        parts = arithmetic_intensity(config, **shape, bytes_per_element=1).bytes_by_part
        n_read = (parts["feed_forward"] - tokens * n_active * 2 * (8 + 32)) / (2 * 8 * 32)
        assert n_read == pytest.approx(hit.mean(), abs=5 * hit.std() / 100)


def test_writing_is_bound_by_memory_and_reading_by_arithmetic():
    write = arithmetic_intensity(LLAMA, batch=1, seq_len=2048, n_new=1)
    read = arithmetic_intensity(LLAMA, batch=1, seq_len=2048)
    assert write.intensity == pytest.approx(1, rel=0.001)  # 2 FLOPs a weight of 2 bytes
    assert 300 < read.intensity < 3000
    for name in ("A100", "H100", "TPU v4", "MI300X"):
        assert write.intensity < accelerator(name).ridge / 100
        assert read.intensity > accelerator(name).ridge


def test_a_batch_reads_the_weights_once_for_all_but_each_cache_for_itself():
    steps = [arithmetic_intensity(LLAMA, batch=batch, seq_len=2048, n_new=1) for batch in (1, 64)]
    one, many = (step.intensity_by_part for step in steps)
    assert many["feed_forward"] == pytest.approx(64 * one["feed_forward"], rel=0.03)
    assert many["scores"] == one["scores"]


def test_heads_that_share_keys_do_more_with_each():
    grouped = LLAMA.replace(n_kv_head=4)
    full, shared = (
        arithmetic_intensity(c, batch=1, seq_len=4096, n_new=1).intensity_by_part["scores"]
        for c in (LLAMA, grouped)
    )
    assert shared == pytest.approx(8 * full, rel=0.01)


def test_beyond_its_window_a_step_costs_no_more():
    config = preset("mistral-7b")
    near, far = (arithmetic_intensity(config, batch=1, seq_len=n, n_new=1) for n in (4096, 32768))
    assert near == far
    assert near.bytes > arithmetic_intensity(config, batch=1, seq_len=4095, n_new=1).bytes


def test_an_encoder_reads_whole_texts_and_its_pooler_one_token_of_each():
    bert = preset("bert-base")
    traffic = arithmetic_intensity(bert, batch=5, seq_len=7, n_new=7)
    assert traffic == arithmetic_intensity(bert, batch=5, seq_len=7)
    assert traffic.bytes_by_part["pooler"] == moved(5, 768, 768)
    with pytest.raises(ValueError, match="n_new must be seq_len=7 in an encoder"):
        arithmetic_intensity(bert, batch=5, seq_len=7, n_new=1)


def test_many_lengths_at_once():
    lengths = np.array([1, 64, 4096])
    traffic = arithmetic_intensity(vary(LLAMA), batch=np.array([[1], [8]]), seq_len=lengths, n_new=1)
    seconds = least_seconds(traffic, accelerator("H100"))
    assert traffic.intensity.shape == seconds.shape == (2, 3)
    alone = arithmetic_intensity(LLAMA, batch=8, seq_len=4096, n_new=1)
    assert traffic.intensity[1, 2] == pytest.approx(alone.intensity)
    assert seconds[1, 2] == pytest.approx(least_seconds(alone, accelerator("H100")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_new": 0}, "n_new must be a whole number of at least 1"),
        ({"n_new": 9}, "n_new must be at most seq_len=8; got 9"),
        ({"n_new": 1.0}, "n_new must be a whole number"),
        ({"batch": 0}, "batch"),
        ({"seq_len": 1025}, "seq_len must be at most n_ctx=1024"),
        ({"bytes_per_element": 0}, "bytes_per_element"),
    ],
)
def test_what_no_pass_can_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        arithmetic_intensity(preset("gpt2"), **{"batch": 1, "seq_len": 8, **changes})


def test_only_a_config_is_counted():
    with pytest.raises(ValueError, match="config must be a TransformerConfig"):
        arithmetic_intensity("gpt2", batch=1, seq_len=1)


def test_the_roofline_rises_to_the_ridge_and_is_flat_beyond():
    chip = accelerator("A100")
    roof = attainable_flops(
        chip.ridge * np.array([0, 0.25, 1, 4, np.inf]), peak_flops=chip.peak_flops, bandwidth=chip.bandwidth
    )
    assert roof == pytest.approx(chip.peak_flops * np.array([0, 0.25, 1, 1, 1]))


@pytest.mark.parametrize(
    ("intensity", "roofs", "message"),
    [
        (-1, {}, "intensity must be numbers of at least 0"),
        ([1, np.nan], {}, "intensity must be numbers of at least 0"),
        ("1", {}, "intensity must be numbers"),
        (1, {"peak_flops": 0}, "peak_flops"),
        (1, {"bandwidth": np.inf}, "bandwidth"),
    ],
)
def test_what_no_roofline_can_be_is_refused(intensity, roofs, message):
    with pytest.raises(ValueError, match=message):
        attainable_flops(intensity, **{"peak_flops": 1.0, "bandwidth": 1.0, **roofs})


@given(config=decoders(), batch=st.integers(1, 3), seq_len=st.integers(1, 12), ridge=st.floats(1e-3, 1e3))
def test_the_least_time_is_that_of_each_part_at_its_roof(config, batch, seq_len, ridge):
    class Roof:
        peak_flops, bandwidth = ridge, 1.0

    traffic = arithmetic_intensity(config, batch=batch, seq_len=seq_len)
    by_part = sum(
        flops / attainable_flops(traffic.intensity_by_part[name], peak_flops=ridge, bandwidth=1.0)
        for name, flops in traffic.flops_by_part.items()
        if flops
    )
    assert least_seconds(traffic, Roof) == pytest.approx(by_part)
    assert least_seconds(traffic, Roof) >= max(traffic.flops / ridge, traffic.bytes) * (1 - 1e-12)


@pytest.fixture(scope="module")
def measured():
    return measure_roofline(seconds=0.01)


def test_a_measured_machine_stays_below_its_roofs(measured):
    assert 0 < measured.bandwidth < np.inf
    assert measured.ridge == measured.peak_flops / measured.bandwidth > 0
    assert np.all(measured.flops_low > 0)
    assert np.all(measured.flops_low <= measured.flops)
    assert np.all(measured.flops <= measured.flops_high)
    roof = attainable_flops(measured.intensity, peak_flops=measured.peak_flops, bandwidth=measured.bandwidth)
    assert np.all(measured.flops <= roof * (1 + 1e-9))


def test_the_points_lie_at_the_intensity_of_their_products(measured):
    """By the layer of a model that is the same product: one of 2048 x 2048 on m tokens, in 4-byte numbers."""
    config = TransformerConfig(1, 2048, 1, 2048, 1024)
    for m, intensity in zip(measured.n_row, measured.intensity, strict=True):
        traffic = arithmetic_intensity(config, batch=int(m), seq_len=1, bytes_per_element=4)
        assert intensity == pytest.approx(traffic.intensity_by_part["output"])
        assert intensity == pytest.approx(traffic.intensity_by_part["unembedding"])


@pytest.mark.parametrize("options", [{"seconds": 0}, {"seconds": np.nan}, {"dtype": "float16"}, {"dtype": 4}])
def test_what_cannot_be_measured_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        measure_roofline(**options)
