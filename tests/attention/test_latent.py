"""What latent attention promises: two ways to one answer, and the layer of DeepSeek-V2 up to its norms."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.deepseek_v2.modeling_deepseek_v2 import (
    DeepseekV2Attention,
    DeepseekV2RotaryEmbedding,
)

from scaling_transformers.attention import latent_attention, multi_head_attention

reproducible = settings(deadline=None, max_examples=60, derandomize=True)
both_libraries = pytest.mark.parametrize("library", ["numpy", "torch"])
seeds = st.integers(0, 2**32 - 1)


def as_torch(arguments):
    return {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


@st.composite
def problems(draw, *, rotary=None):
    """Arguments of latent attention of any size, with and without rotary part, mask and batch."""
    generator = np.random.default_rng(draw(seeds))
    n, d_model, n_head, d_head, d_value, d_latent = (draw(st.integers(1, 6)) for _ in range(6))
    d_rotary = 2 * draw(st.integers(1, 3))
    lead = tuple(draw(st.lists(st.integers(1, 2), max_size=2)))
    shapes = {
        "w_q": (d_model, n_head * d_head),
        "w_down": (d_model, d_latent),
        "w_up_k": (d_latent, n_head * d_head),
        "w_up_v": (d_latent, n_head * d_value),
        "w_o": (n_head * d_value, d_model),
    }
    if draw(st.booleans()) if rotary is None else rotary:
        shapes |= {"w_q_rotary": (d_model, n_head * d_rotary), "w_k_rotary": (d_model, d_rotary)}
    # Scaled so that scores stay of the order of 1.
    weights = {name: generator.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    mask = None
    if draw(st.booleans()):
        mask = generator.random((n_head, n, n)) < 0.6  # some rows wholly forbidden
    return {
        "x": generator.normal(size=(*lead, n, d_model)),
        **weights,
        "n_head": n_head,
        "mask": mask,
        "is_causal": draw(st.booleans()),
        "theta": draw(st.sampled_from([10.0, 10_000.0])),
    }


@both_libraries
@reproducible
@given(problem=problems())
def test_both_ways_give_the_same(library, problem):
    arguments = problem if library == "numpy" else as_torch(problem)
    expanded, absorbed = (latent_attention(**arguments, absorb=absorb) for absorb in (False, True))
    assert type(absorbed) is type(expanded) is type(arguments["x"])
    assert absorbed.shape == expanded.shape == arguments["x"].shape
    np.testing.assert_allclose(np.asarray(absorbed), np.asarray(expanded), rtol=0, atol=1e-12)


@both_libraries
@pytest.mark.parametrize("absorb", [False, True])
@reproducible
@given(problem=problems())
def test_it_is_the_papers_formula_a_token_and_a_head_at_a_time(library, absorb, problem):
    """DeepSeek-AI 2024, appendix C, with the rotations as complex numbers."""
    out = latent_attention(**(problem if library == "numpy" else as_torch(problem)), absorb=absorb)
    n_head, n = problem["n_head"], problem["x"].shape[-2]
    rotary = "w_q_rotary" in problem

    def turned(vector, position):
        half = len(vector) // 2
        turns = np.exp(1j * position * problem["theta"] ** (-np.arange(half) / half))
        return (vector[:half] + 1j * vector[half:]) * turns

    def head_of(array, head):
        return np.split(array, n_head, axis=-1)[head]

    def output(text, i):
        heads = []
        for head in range(n_head):
            scores, values = [], []
            for j in range(n):
                hidden = problem["mask"] is not None and not problem["mask"][head, i, j]
                if hidden or (problem["is_causal"] and j > i):
                    continue
                latent = text[j] @ problem["w_down"]
                score = head_of(text[i] @ problem["w_q"], head) @ head_of(latent @ problem["w_up_k"], head)
                width = problem["w_q"].shape[1] // n_head
                if rotary:
                    query = turned(head_of(text[i] @ problem["w_q_rotary"], head), i)
                    key = turned(text[j] @ problem["w_k_rotary"], j)
                    score += (query * key.conj()).real.sum()
                    width += problem["w_k_rotary"].shape[1]
                scores.append(score / np.sqrt(width))
                values.append(head_of(latent @ problem["w_up_v"], head))
            if scores:
                heads.append(np.exp(scores) @ np.array(values) / np.exp(scores).sum())
            else:
                heads.append(np.zeros(problem["w_up_v"].shape[1] // n_head))
        return np.concatenate(heads) @ problem["w_o"]

    texts = problem["x"].reshape(-1, *problem["x"].shape[-2:])
    wanted = np.array([[output(text, i) for i in range(n)] for text in texts]).reshape(problem["x"].shape)
    np.testing.assert_allclose(np.asarray(out), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("absorb", [False, True])
@reproducible
@given(seed=seeds, n=st.integers(1, 6), n_head=st.integers(1, 3), d_head=st.integers(1, 4))
def test_a_latent_as_wide_as_all_heads_is_plain_attention(absorb, seed, n, n_head, d_head):
    generator = np.random.default_rng(seed)
    width = n_head * d_head
    x, shared = generator.normal(size=(n, 5)), generator.normal(size=(5, width))
    rest = {"w_q": generator.normal(size=(5, width)), "w_o": generator.normal(size=(width, 5))}
    rest |= {"n_head": n_head, "is_causal": True}
    identity = np.eye(width)
    latent = latent_attention(x, w_down=shared, w_up_k=identity, w_up_v=identity, absorb=absorb, **rest)
    plain = multi_head_attention(x, w_k=shared, w_v=shared, **rest)
    np.testing.assert_allclose(latent, plain, atol=1e-11)


@pytest.mark.parametrize("absorb", [False, True])
@reproducible
@given(problem=problems(rotary=False))
def test_without_rotary_part_it_is_plain_attention_with_keys_and_values_of_low_rank(absorb, problem):
    out = latent_attention(**problem, absorb=absorb)
    w_down, w_up_k, w_up_v, _ = (problem.pop(name) for name in ("w_down", "w_up_k", "w_up_v", "theta"))
    plain = multi_head_attention(**problem, w_k=w_down @ w_up_k, w_v=w_down @ w_up_v)
    np.testing.assert_allclose(out, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("absorb", [False, True])
def test_it_is_the_layer_of_deepseek_v2_in_transformers_less_its_norm(absorb):
    torch.manual_seed(0)
    n_head, d_head, d_rotary, d_value, d_latent = 3, 4, 6, 5, 8
    config = transformers.DeepseekV2Config(
        hidden_size=18,
        num_attention_heads=n_head,
        num_key_value_heads=n_head,
        q_lora_rank=None,
        kv_lora_rank=d_latent,
        qk_nope_head_dim=d_head,
        qk_rope_head_dim=d_rotary,
        v_head_dim=d_value,
        attn_implementation="eager",
    )
    layer = DeepseekV2Attention(config, layer_idx=0).eval()
    layer.kv_a_layernorm = torch.nn.Identity()
    x = torch.randn(2, 7, 18)
    turns = DeepseekV2RotaryEmbedding(config)(x, torch.arange(7)[None])
    later = torch.full((7, 7), -torch.inf).triu(1)[None, None]
    # That layer pairs neighbouring coordinates, ours pairs i with i + d/2.
    order = [*range(0, d_rotary, 2), *range(1, d_rotary, 2)]
    with torch.no_grad():
        wanted, _ = layer(x, attention_mask=later, position_embeddings=turns)
        w_q = layer.q_proj.weight.T.reshape(18, n_head, d_head + d_rotary)
        w_up = layer.kv_b_proj.weight.T.reshape(d_latent, n_head, d_head + d_value)
        w_down = layer.kv_a_proj_with_mqa.weight.T
        out = latent_attention(
            x,
            w_q=w_q[..., :d_head].flatten(1),
            w_q_rotary=w_q[..., d_head:][..., order].flatten(1),
            w_down=w_down[:, :d_latent],
            w_k_rotary=w_down[:, d_latent:][:, order],
            w_up_k=w_up[..., :d_head].flatten(1),
            w_up_v=w_up[..., d_head:].flatten(1),
            w_o=layer.o_proj.weight.T,
            n_head=n_head,
            theta=config.rope_parameters["rope_theta"],
            is_causal=True,
            absorb=absorb,
        )
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-6)


X, W = np.ones((2, 3, 8)), np.ones((8, 8))
GOOD = {"x": X, "w_q": W, "w_down": W[:, :5], "w_up_k": W[:5], "w_up_v": W[:5, :6], "w_o": W[:6], "n_head": 2}
ROTARY = {"w_q_rotary": W, "w_k_rotary": W[:, :4]}


@pytest.mark.parametrize("absorb", [False, True])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w_q": W[:7]}, r"w_q must have shape \(8, any\); got \(7, 8\)"),
        ({"w_down": W[0]}, r"w_down must have 2 axes; got shape \(8,\)"),
        ({"w_up_k": W}, r"w_up_k must have shape \(5, 8\); got \(8, 8\)"),
        ({"w_up_k": W[:5, :6]}, r"w_up_k must have shape \(5, 8\); got \(5, 6\)"),
        ({"w_up_v": W}, r"w_up_v must have shape \(5, any\); got \(8, 8\)"),
        ({"w_up_v": W[:5, :5], "w_o": W[:5]}, "w_up_v must have a number of columns that n_head=2 divides"),
        ({"w_q": W[:, :7], "w_up_k": W[:5, :7]}, "w_q must have a number of columns that n_head=2 divides"),
        ({"w_o": W}, r"w_o must have shape \(6, any\); got \(8, 8\)"),
        ({**ROTARY, "w_q_rotary": None}, "must be given together; w_q_rotary is missing"),
        ({**ROTARY, "w_k_rotary": None}, "must be given together; w_k_rotary is missing"),
        ({**ROTARY, "w_q_rotary": W[:, :6]}, r"w_q_rotary must have shape \(8, 8\); got \(8, 6\)"),
        ({**ROTARY, "w_k_rotary": W[:7, :4]}, r"w_k_rotary must have shape \(8, any\); got \(7, 4\)"),
        ({"w_q_rotary": W[:, :6], "w_k_rotary": W[:, :3]}, "the width of x must be even; got 3"),
        ({**ROTARY, "theta": 0.0}, "theta must be positive and finite; got 0.0"),
        ({"n_head": 0}, "n_head must be a whole number of at least 1; got 0"),
        ({"x": X[0, 0]}, "x must have token and width axes"),
        ({"x": X[:0]}, "x must not be empty"),
        ({"x": X * np.inf}, "x must be finite"),
        ({"w_o": W[:6] * np.nan}, "w_o must be finite"),
        ({"w_up_k": W[:5].astype(np.float32)}, "one dtype and one device; got .*w_up_k float32"),
        ({"w_down": torch.ones(8, 5)}, "one library"),
        ({"w_q": W.astype(int)}, "w_q must be floating point"),
        ({"mask": np.ones((2, 2), dtype=bool)}, "mask must broadcast"),
    ],
)
def test_a_bad_argument_is_named(absorb, changes, message):
    with pytest.raises(ValueError, match=message):
        latent_attention(**{**GOOD, **changes}, absorb=absorb)
