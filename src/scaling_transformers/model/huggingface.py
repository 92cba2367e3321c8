"""Published weights under the names of this model: GPT-2, BERT, Llama, Mistral and Mixtral checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scaling_transformers.config import TransformerConfig


class Source(NamedTuple):
    """Where a parameter of this model stands in a checkpoint."""

    key: str  #: Its name there.
    transposed: bool = False  #: stored (inputs, outputs)
    part: int = 0  #: which of ``n_part`` equal parts along the outputs
    n_part: int = 1  #: How many parameters share the tensor.
    expert: int | None = None  #: which row of a tensor of all experts
    n_expert: int = 1  #: How many experts share the tensor.

    def shape(self, ours: torch.Size) -> tuple[int, ...]:
        """The shape that the checkpoint's tensor must have for a parameter of shape ``ours``."""
        shape = (self.n_part * ours[0], *ours[1:])
        shape = shape[::-1] if self.transposed else shape
        return shape if self.expert is None else (self.n_expert, *shape)

    def read(self, tensor: Tensor) -> Tensor:
        """The parameter, from a tensor whose shape is right."""
        tensor = tensor if self.expert is None else tensor[self.expert]
        tensor = tensor.T if self.transposed else tensor
        return tensor.chunk(self.n_part)[self.part]


class Family(NamedTuple):
    """How one kind of checkpoint names things; N is the number of a block, E that of an expert."""

    prefix: str  #: before the keys of the body where a head stands beside it
    modules: dict[str, str]  #: Names here and there.
    ignored: str  #: pattern of the keys that hold no parameters


GPT2 = Family(
    "transformer.",
    {
        "embedding": "wte",
        "position_embedding": "wpe",
        "blocks.N.attention_norm": "h.N.ln_1",
        "blocks.N.attention.query": "h.N.attn.c_attn",  # query, key and value side by side
        "blocks.N.attention.key": "h.N.attn.c_attn",
        "blocks.N.attention.value": "h.N.attn.c_attn",
        "blocks.N.attention.out": "h.N.attn.c_proj",
        "blocks.N.feed_forward_norm": "h.N.ln_2",
        "blocks.N.feed_forward.up": "h.N.mlp.c_fc",
        "blocks.N.feed_forward.down": "h.N.mlp.c_proj",
        "final_norm": "ln_f",
        "unembedding": "lm_head",
    },
    r"h\.\d+\.attn\.(bias|masked_bias)",
)

BERT = Family(
    "bert.",
    {
        "embedding": "embeddings.word_embeddings",
        "position_embedding": "embeddings.position_embeddings",
        "token_type_embedding": "embeddings.token_type_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "blocks.N.attention.query": "encoder.layer.N.attention.self.query",
        "blocks.N.attention.key": "encoder.layer.N.attention.self.key",
        "blocks.N.attention.value": "encoder.layer.N.attention.self.value",
        "blocks.N.attention.out": "encoder.layer.N.attention.output.dense",
        "blocks.N.attention_norm": "encoder.layer.N.attention.output.LayerNorm",
        "blocks.N.feed_forward.up": "encoder.layer.N.intermediate.dense",
        "blocks.N.feed_forward.down": "encoder.layer.N.output.dense",
        "blocks.N.feed_forward_norm": "encoder.layer.N.output.LayerNorm",
        "pooler": "pooler.dense",
        "unembedding": "cls.predictions.decoder",
    },
    r"embeddings\.(position_ids|token_type_ids)",
)

LLAMA = Family(  # and Mistral, and Mixtral, which differs in its feed-forward layers
    "model.",
    {
        "embedding": "embed_tokens",
        "blocks.N.attention_norm": "layers.N.input_layernorm",
        "blocks.N.attention.query": "layers.N.self_attn.q_proj",
        "blocks.N.attention.key": "layers.N.self_attn.k_proj",
        "blocks.N.attention.value": "layers.N.self_attn.v_proj",
        "blocks.N.attention.out": "layers.N.self_attn.o_proj",
        "blocks.N.feed_forward_norm": "layers.N.post_attention_layernorm",
        "blocks.N.feed_forward.gate": "layers.N.mlp.gate_proj",
        "blocks.N.feed_forward.up": "layers.N.mlp.up_proj",
        "blocks.N.feed_forward.down": "layers.N.mlp.down_proj",
        # Mixtral as published
        "blocks.N.feed_forward.router": "layers.N.block_sparse_moe.gate",
        "blocks.N.feed_forward.experts.E.gate": "layers.N.block_sparse_moe.experts.E.w1",
        "blocks.N.feed_forward.experts.E.up": "layers.N.block_sparse_moe.experts.E.w3",
        "blocks.N.feed_forward.experts.E.down": "layers.N.block_sparse_moe.experts.E.w2",
        "final_norm": "norm",
        "unembedding": "lm_head",
    },
    r"(layers\.\d+\.self_attn\.)?rotary_emb\.\w+",
)

FAMILIES = (GPT2, BERT, LLAMA)


def modern_name(key: str) -> str:
    """A key in today's terms: the first BERT checkpoints call a norm's scale and shift gamma and beta."""
    key = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", key)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key)


def find_source(name: str, family: Family, prefix: str, config: TransformerConfig, keys: set[str]) -> Source:
    """Where a parameter of this model stands in a checkpoint with these keys."""
    module, kind = name.rsplit(".", 1)
    block = re.match(r"blocks\.(\d+)", module)
    expert = re.search(r"experts\.(\d+)\.(\w+)", module)
    pattern = re.sub(r"experts\.\d+", "experts.E", re.sub(r"^blocks\.\d+", "blocks.N", module))
    theirs = family.modules.get(pattern)
    number = block[1] if block else ""
    layer = f"{prefix}layers.{number}.mlp."
    fused = ".feed_forward." in module and any(key.startswith(f"{layer}experts.") for key in keys)
    if theirs is None or (fused and kind == "bias"):
        return Source(name)  # nothing of the kind in this family: missing under our own name
    if fused:
        # Mixtral as transformers 5 holds it: all experts in one tensor, the gate before the up projection.
        if module.endswith("router"):
            return Source(f"{layer}gate.weight")
        if expert:
            index, part = int(expert[1]), expert[2]
            if part == "down":
                return Source(f"{layer}experts.down_proj", expert=index, n_expert=config.n_expert)
            return Source(
                f"{layer}experts.gate_up_proj",
                part=("gate", "up").index(part),
                n_part=2,
                expert=index,
                n_expert=config.n_expert,
            )
    key = theirs.replace(".N.", f".{number}.").replace(".E.", f".{expert[1] if expert else ''}.")
    key = f"{key}.{kind}" if theirs == family.modules["unembedding"] else f"{prefix}{key}.{kind}"
    transposed = family is GPT2 and kind == "weight" and bool(block) and "norm" not in module
    if theirs.endswith("c_attn"):
        part = ("query", "key", "value").index(module.rsplit(".", 1)[1])
        return Source(key, transposed=transposed, part=part, n_part=3)
    return Source(key, transposed=transposed)


def find_sources(
    names: Iterable[str], config: TransformerConfig, keys: set[str]
) -> tuple[Family, str, dict[str, Source]]:
    """The family whose names fit a checkpoint best, the prefix of its body, and each parameter's source.

    Raises
    ------
    ValueError
        If no family's names fit at all.
    """
    found = []
    for family in FAMILIES:
        for prefix in ("", family.prefix):
            sources = {name: find_source(name, family, prefix, config, keys) for name in names}
            found.append((family, prefix, sources))
    family, prefix, sources = max(found, key=lambda each: sum(one.key in keys for one in each[2].values()))
    if not any(source.key in keys for source in sources.values()):
        raise ValueError(
            "state_dict must be a GPT-2, BERT, Llama, Mistral or Mixtral checkpoint; "
            f"its keys begin {sorted(keys)[:5]}"
        )
    return family, prefix, sources


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers."""
    return one.shape == other.shape and bool((one == other).all())


def translate(
    model: nn.Module, config: TransformerConfig, state_dict: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The parameters of a model, by name, out of a checkpoint.

    Raises
    ------
    ValueError
        Names every key that is missing, every key that has no place in the model, and every tensor of
        another shape.
    """
    if not isinstance(state_dict, Mapping) or not all(isinstance(key, str) for key in state_dict):
        raise ValueError(f"state_dict must map names to tensors; got {type(state_dict)}")
    original = {modern_name(key): key for key in state_dict}
    ours = dict(model.named_parameters())  # a tied unembedding is not among them
    family, prefix, sources = find_sources(ours, config, set(original))
    wanted = {source.key for source in sources.values()}
    head = f"{family.modules['unembedding']}.weight"  # beside the body, without its prefix
    embedding = sources["embedding.weight"].key
    problems = []
    if config.tie_embeddings and head in original:
        wanted.add(head)
        one, other = (state_dict.get(original.get(key, "")) for key in (head, embedding))
        if isinstance(one, Tensor) and isinstance(other, Tensor) and not same(one, other):
            problems.append(f"tie_embeddings is True, but {original[head]} is not {original[embedding]}")
    ignored = re.compile(re.escape(prefix) + f"({family.ignored})")
    missing = sorted(wanted - set(original))
    extra = {original[key] for key in set(original) - wanted if not ignored.fullmatch(key)}
    unexpected = sorted(extra | (set(state_dict) - set(original.values())))  # the same norm under two names
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if unexpected:
        problems.append(f"unexpected: {', '.join(unexpected)}")
    for name, source in sources.items():
        if source.key in original:
            tensor, shape = state_dict[original[source.key]], source.shape(ours[name].shape)
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor)
            problem = f"{original[source.key]} must have shape {shape}; got {found}"
            if found != shape and problem not in problems:
                problems.append(problem)
    if problems:
        raise ValueError(f"state_dict does not fit the config; nothing was loaded. {'; '.join(problems)}")
    return {name: source.read(state_dict[original[source.key]]) for name, source in sources.items()}
