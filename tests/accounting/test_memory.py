"""What the memory count promises: the bytes that papers and caches report."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import kv_cache_bytes


def test_a_token_of_a_13b_model_keeps_800_kilobytes():
    """Kwon et al. 2023 (PagedAttention), section 3: 2 vectors x 5120 wide x 40 layers x 2 bytes, for OPT-13B.

    Llama 13B has the same width and depth.
    """
    assert kv_cache_bytes(preset("llama-13b"), batch=1, seq_len=1) == 2 * 5120 * 40 * 2 == 800 * 1024


def test_a_window_of_4096_saves_a_factor_of_8_at_32k_tokens():
    """Jiang et al. 2023 (Mistral 7B), section 2, rolling buffer cache."""
    windowed = preset("mistral-7b")
    full = windowed.replace(window=None)
    assert kv_cache_bytes(full, batch=1, seq_len=32768) == 8 * kv_cache_bytes(
        windowed, batch=1, seq_len=32768
    )
    assert kv_cache_bytes(full, batch=1, seq_len=4096) == kv_cache_bytes(windowed, batch=1, seq_len=4096)


def test_eight_groups_for_64_heads_save_a_factor_of_8():
    grouped = preset("llama-2-70b")
    full = grouped.replace(n_kv_head=grouped.n_head)
    assert kv_cache_bytes(full, batch=2, seq_len=100) == 8 * kv_cache_bytes(grouped, batch=2, seq_len=100)


@given(
    n_layer=st.integers(1, 3),
    n_kv_head=st.integers(1, 2),
    d_head=st.sampled_from([2, 4]),
    batch=st.integers(1, 3),
    seq_len=st.integers(1, 8),
)
@settings(deadline=None, max_examples=15)
def test_the_cache_of_transformers_takes_as_many_bytes(n_layer, n_kv_head, d_head, batch, seq_len):
    published = transformers.LlamaConfig(
        vocab_size=7,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=n_layer,
        num_attention_heads=2 * n_kv_head,
        num_key_value_heads=n_kv_head,
        head_dim=d_head,
        max_position_embeddings=8,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.LlamaForCausalLM(published)
    tokens = torch.zeros(batch, seq_len, dtype=torch.int64)
    with torch.no_grad():
        cache = model(tokens, use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    config = TransformerConfig.from_huggingface(published.to_dict())
    assert kv_cache_bytes(config, batch=batch, seq_len=seq_len, bytes_per_element=4) == held


def test_four_bits_take_half_a_byte():
    config = TransformerConfig(1, 3, 1, 2, 5)
    assert kv_cache_bytes(config, batch=1, seq_len=1, bytes_per_element=0.5) == 3


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"batch": 0}, "batch"),
        ({"seq_len": 2.0}, "seq_len"),
        ({"seq_len": 1025}, "seq_len must be at most n_ctx=1024"),
        ({"bytes_per_element": 0}, "bytes_per_element"),
        ({"bytes_per_element": float("nan")}, "bytes_per_element"),
        ({"bytes_per_element": "2"}, "bytes_per_element"),
    ],
)
def test_what_no_cache_can_be_is_refused(changes, name):
    with pytest.raises(ValueError, match=name):
        kv_cache_bytes(preset("gpt2"), **{"batch": 1, "seq_len": 8, **changes})


def test_an_encoder_keeps_no_cache():
    with pytest.raises(ValueError, match="config must have kind='decoder'"):
        kv_cache_bytes(preset("bert-base"), batch=1, seq_len=8)


def test_only_a_config_is_counted():
    with pytest.raises(ValueError, match="config must be a TransformerConfig"):
        kv_cache_bytes(None, batch=1, seq_len=8)
