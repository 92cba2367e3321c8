"""What the memory count promises: the bytes that papers and caches report."""

import itertools

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    count_parameters,
    kv_cache_bytes,
    latent_cache_bytes,
    training_memory,
)
from scaling_transformers.model import Transformer


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


def bytes_kept(model, loss):
    """What torch keeps for the backward pass of ``loss()``, the model's own tensors left out."""
    own = {
        tensor.untyped_storage().data_ptr() for tensor in itertools.chain(model.parameters(), model.buffers())
    }
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor  # held, so that no later tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


BATCH, LENGTH = 4, 48
TOKENS = torch.arange(BATCH * LENGTH).reshape(BATCH, LENGTH) % 300


def small(**changes):
    return TransformerConfig(2, 64, 4, 300, LENGTH, **changes)


def loss_of(model, tokens=TOKENS):
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "swiglu", "geglu"])
@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary", "none"])
@pytest.mark.parametrize(
    ("kind", "norm_placement"), [("decoder", "pre"), ("decoder", "post"), ("encoder", "pre")]
)
def test_fused_attention_keeps_what_selective_checkpointing_counts(
    activation, position, kind, norm_placement
):
    config = small(activation=activation, position=position, kind=kind, norm_placement=norm_placement)
    memory = training_memory(
        config, batch=BATCH, seq_len=LENGTH, bytes_per_element=4, checkpointing="selective"
    )
    model = Transformer(config)
    assert memory.activations == pytest.approx(bytes_kept(model, lambda: loss_of(model)), rel=0.1)


def test_an_rmsnorm_on_a_cpu_keeps_one_vector_more():
    config = small(norm="rmsnorm")
    memory = training_memory(
        config, batch=BATCH, seq_len=LENGTH, bytes_per_element=4, checkpointing="selective"
    )
    scaled = 4 * BATCH * LENGTH * config.d_model * (2 * config.n_layer + 1)
    model = Transformer(config)
    assert memory.activations + scaled == pytest.approx(bytes_kept(model, lambda: loss_of(model)), rel=0.02)


@pytest.mark.parametrize("seq_len", [8, 48, 192])
def test_plain_attention_keeps_what_is_counted_without_checkpointing(seq_len):
    published = transformers.GPT2Config(
        vocab_size=300, n_positions=192, n_embd=64, n_layer=2, n_head=4, activation_function="gelu",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager", use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(published).train()
    tokens = torch.arange(2 * seq_len).reshape(2, seq_len) % 300
    config = TransformerConfig.from_huggingface(published.to_dict())
    memory = training_memory(config, batch=2, seq_len=seq_len, bytes_per_element=4)
    kept = bytes_kept(model, lambda: loss_of(lambda tokens: model(tokens).logits, tokens))
    assert memory.activations == pytest.approx(kept, rel=0.02)


@pytest.mark.parametrize(("n_expert", "n_active"), [(4, 1), (4, 2), (8, 2), (4, 4)])
def test_experts_keep_what_a_mixture_keeps_beyond_its_dense_twin(n_expert, n_active):
    sizes = {
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": LENGTH,
        "use_cache": False,
    }  # fmt: skip
    torch.manual_seed(0)
    dense = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
    mixture = transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**sizes, num_local_experts=n_expert, num_experts_per_tok=n_active)
    )
    kept, counted = [], []
    for model in (dense, mixture):
        kept.append(bytes_kept(model, lambda model=model: loss_of(lambda tokens: model(tokens).logits)))
        config = TransformerConfig.from_huggingface(model.config.to_dict())
        counted.append(training_memory(config, batch=BATCH, seq_len=LENGTH, bytes_per_element=4).activations)
    assert counted[1] - counted[0] == pytest.approx(kept[1] - kept[0], rel=0.1)


def test_full_checkpointing_keeps_the_inputs_of_the_layers():
    config = small()
    model = Transformer(config)
    for block in model.blocks:
        block.forward = lambda *inputs, plain=block.forward: checkpoint(plain, *inputs, use_reentrant=False)
    memory = training_memory(config, batch=BATCH, seq_len=LENGTH, bytes_per_element=4, checkpointing="full")
    assert memory.activations == pytest.approx(bytes_kept(model, lambda: loss_of(model)), rel=0.02)


@given(
    n_layer=st.integers(1, 4),
    heads=st.integers(1, 4),
    d_head=st.integers(1, 8),
    batch=st.integers(1, 3),
    seq_len=st.integers(1, 9),
)
def test_with_dropout_in_16_bits_it_is_the_formula_of_the_paper(n_layer, heads, d_head, batch, seq_len):
    """Korthikanti et al. 2022, equation 2, table 2 and section 4.3, with no parallelism."""
    config = TransformerConfig(n_layer, heads * d_head, heads, 50, 9)
    sbh = seq_len * batch * config.d_model
    per_layer = {
        "none": 34 * sbh + 5 * heads * seq_len**2 * batch,
        "selective": 34 * sbh,
        "full": 2 * sbh,
    }
    ends = sbh + 4 * sbh + 4 * seq_len * batch * config.vocab_size
    for name, layer in per_layer.items():
        memory = training_memory(config, batch=batch, seq_len=seq_len, checkpointing=name, dropout=True)
        assert memory.activations == n_layer * layer + ends


def test_mixed_precision_adam_takes_16_bytes_a_parameter():
    """Rajbhandari et al. 2020 (ZeRO), section 3.1."""
    n_params = count_parameters(preset("gpt2-xl")).total
    memory = training_memory(preset("gpt2-xl"), batch=1, seq_len=1024)
    assert (memory.weights, memory.gradients, memory.optimizer) == (2 * n_params, 2 * n_params, 12 * n_params)
    assert memory.total == 16 * n_params + memory.activations
    assert training_memory(preset("gpt2-xl"), batch=1, seq_len=1024, optimizer_bytes=0).optimizer == 0


def test_single_precision_adam_holds_what_the_optimizer_of_torch_holds():
    model = Transformer(small())
    optimizer = torch.optim.AdamW(model.parameters())
    loss_of(model).backward()
    optimizer.step()
    states = (
        state for by_name in optimizer.state.values() for name, state in by_name.items() if name != "step"
    )
    memory = training_memory(model.config, batch=1, seq_len=1, bytes_per_element=4)
    assert memory.optimizer == sum(state.nbytes for state in states)
    assert memory.weights == sum(parameter.nbytes for parameter in model.parameters())
    assert memory.gradients == sum(parameter.grad.nbytes for parameter in model.parameters())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"batch": 0}, "batch"),
        ({"seq_len": 1025}, "seq_len"),
        ({"bytes_per_element": -2}, "bytes_per_element"),
        ({"optimizer_bytes": -8}, "optimizer_bytes"),
        ({"checkpointing": "some"}, "checkpointing must be one of .*'selective'"),
        ({"checkpointing": None}, "checkpointing"),
        ({"dropout": 0.1}, "dropout"),
        ({"config": "gpt2"}, "config must be a TransformerConfig"),
    ],
)
def test_what_no_training_step_can_be_is_refused(changes, name):
    with pytest.raises(ValueError, match=name):
        training_memory(**{"config": preset("gpt2"), "batch": 1, "seq_len": 8, **changes})


@given(
    n_layer=st.integers(1, 3), batch=st.integers(1, 3), seq_len=st.integers(1, 8), n_head=st.integers(1, 3)
)
@settings(deadline=None, max_examples=15)
def test_the_latent_cache_of_transformers_takes_as_many_bytes(n_layer, batch, seq_len, n_head):
    published = transformers.DeepseekV2Config(
        vocab_size=7,
        hidden_size=12,
        intermediate_size=8,
        num_hidden_layers=n_layer,
        first_k_dense_replace=n_layer,
        num_attention_heads=n_head,
        num_key_value_heads=n_head,
        q_lora_rank=None,
        kv_lora_rank=6,
        qk_nope_head_dim=4,
        qk_rope_head_dim=2,
        v_head_dim=5,
        max_position_embeddings=8,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.DeepseekV2ForCausalLM(published)
    with torch.no_grad():
        cache = model(torch.zeros(batch, seq_len, dtype=torch.int64), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    sizes = {"n_layer": n_layer, "batch": batch, "seq_len": seq_len, "d_latent": 6, "d_rotary": 2}
    assert latent_cache_bytes(**sizes, bytes_per_element=4) == held


def test_deepseek_v2_keeps_as_much_as_grouped_heads_with_two_and_a_quarter_groups():
    """DeepSeek-AI 2024 (DeepSeek-V2), section 2.1.4: latent and rotary key are 4.5 heads wide together."""
    latent = latent_cache_bytes(n_layer=60, d_latent=512, d_rotary=64, batch=3, seq_len=100)
    one_group = TransformerConfig(60, 5120, 128, vocab_size=1, n_ctx=100, n_kv_head=1, d_head=128)
    assert latent == 2.25 * kv_cache_bytes(one_group, batch=3, seq_len=100)


def test_without_rotary_key_only_the_latent_is_kept_and_half_a_byte_is_rounded_up():
    sizes = {"n_layer": 1, "d_latent": 3, "d_rotary": 0, "batch": 1, "seq_len": 1}
    assert latent_cache_bytes(**sizes, bytes_per_element=0.5) == 2


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"n_layer": 0}, "n_layer must be a whole number of at least 1; got 0"),
        ({"d_latent": 0}, "d_latent must be a whole number of at least 1; got 0"),
        ({"d_rotary": -1}, "d_rotary must be a whole number of at least 0; got -1"),
        ({"d_rotary": 2.0}, "d_rotary must be a whole number of at least 0; got 2.0"),
        ({"batch": True}, "batch must be a whole number"),
        ({"seq_len": 1.5}, "seq_len must be a whole number"),
        ({"bytes_per_element": 0}, "bytes_per_element must be a positive finite number"),
    ],
)
def test_what_no_latent_cache_can_be_is_refused(changes, name):
    sizes = {"n_layer": 2, "d_latent": 4, "d_rotary": 2, "batch": 1, "seq_len": 8}
    with pytest.raises(ValueError, match=name):
        latent_cache_bytes(**{**sizes, **changes})
