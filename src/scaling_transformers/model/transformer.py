"""A transformer in torch, top to bottom in the order the data flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from scaling_transformers.attention import alibi_slopes, rotary_table, sinusoidal_positions
from scaling_transformers.attention.masks import require_count
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model._inputs import check_inputs, require_whole_tiles
from scaling_transformers.model.attention import Context, attention_mask
from scaling_transformers.model.block import Block
from scaling_transformers.model.cache import Cache
from scaling_transformers.model.depths import make_block
from scaling_transformers.model.feed_forward import MixtureOfExperts
from scaling_transformers.model.generation import check_causal, check_sampling, sample, without_cache
from scaling_transformers.model.huggingface import translate
from scaling_transformers.model.merging import Merging
from scaling_transformers.model.norm import make_norm
from scaling_transformers.model.recurrence import initialise_halting, make_halting, run_until_halted
from scaling_transformers.model.trace import Trace
from scaling_transformers.sparsity.hierarchy import pool_groups, pool_patches, spread_groups, spread_patches


class Transformer(nn.Module):
    """The model that a `TransformerConfig` describes.

    ``model(tokens)`` maps whole numbers of shape (batch, n) to logits of shape (batch, n, vocab_size).

    An encoder with its norms after the sums (BERT) also has a norm after the embeddings. With ``halting``
    there is one block; in eval mode it stops when all tokens have halted, to the same logits.
    """

    position_table: Tensor  #: Fixed codes of positions, (n_ctx, d_model).
    alibi_slopes: Tensor | None  #: Slopes of the heads, (n_head,), if positions are told by ALiBi.

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.n_ctx, config.d_model)
        elif config.position == "sinusoidal":
            table = torch.tensor(sinusoidal_positions(config.n_ctx, config.d_model), dtype=torch.float32)
            self.register_buffer("position_table", table, persistent=False)
        slopes = None
        if config.position == "alibi":
            slopes = torch.tensor(alibi_slopes(config.n_head), dtype=torch.float32)
        self.register_buffer("alibi_slopes", slopes, persistent=False)
        if config.n_token_type:
            self.token_type_embedding = nn.Embedding(config.n_token_type, config.d_model)
        pre_norm = config.norm_placement == "pre"
        normed = not pre_norm and config.kind == "encoder"
        self.embedding_norm = make_norm(config) if normed else nn.Identity()
        n_block = config.n_layer if config.halting is None else 1
        self.blocks = nn.ModuleList(make_block(config, layer) for layer in range(n_block))
        self.halting = make_halting(config)
        self.final_norm = make_norm(config) if pre_norm else nn.Identity()
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.pooler = nn.Linear(config.d_model, config.d_model, bias=config.bias) if config.pooler else None
        self.apply(self._initialise)
        if self.halting is not None:
            initialise_halting(self.halting, config)
        if config.tie_embeddings:
            self.unembedding.weight = self.embedding.weight

    def _initialise(self, module: nn.Module) -> None:
        """Normal weights of deviation 0.02, less on what joins the residual stream (GPT-2, section 2.3)."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            layer = module.feed_forward
            dense = [*layer.experts, *layer.shared] if isinstance(layer, MixtureOfExperts) else [layer]
            for projection in (module.attention.out, *(cast(Any, expert).down for expert in dense)):
                nn.init.normal_(projection.weight, std=0.02 / (2 * self.config.n_layer) ** 0.5)

    def forward(
        self,
        tokens: Tensor,
        *,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        head_gate: Tensor | None = None,
        cache: Cache | None = None,
        return_attention: bool = False,
        trace: Trace | None = None,
        starts: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits of the next token (decoder) or of each token (encoder).

        Parameters
        ----------
        tokens : integer tensor, shape (batch, n), n at most ``n_ctx``
        token_types : integer tensor, shape (batch, n), optional
            Which of the ``n_token_type`` kinds each token is; default 0.
        mask : boolean tensor, shape (batch, n), optional
            True for the real tokens, at least one in each text. No real token attends to padding; what stands
            at the places of padding has no meaning.
        head_gate : tensor, shape (n_layer, n_head), optional
            Factor on the output of each head: 0 removes it.
        cache : Cache, optional
            From `new_cache`: ``tokens`` go on where the tokens in it end, and are added to it.
        return_attention : bool
            Also return the attention weights, one tensor (batch, n_head, n, n_k) a layer, computed by
            `scaling_transformers.attention.attention_weights` in place of the fused kernel. ``n_k`` is ``n``
            without a cache; with one, also the older tokens that ``tokens`` may see. With ``shorten`` and
            ``n_merge`` a layer has a row and a column for each position that it reads.
        trace : Trace, optional
            Is told what was skipped, and what training adds to the loss.
        starts : boolean tensor, shape (batch, n), optional
            With ``shorten`` above 1: True where a patch begins, as from
            `scaling_transformers.sparsity.hierarchy.patch_starts`; default every ``shorten`` tokens. Whether
            a token begins a patch must not depend on later ones, or the model sees what it should predict.

        Returns
        -------
        tensor, shape (batch, n, vocab_size), or that and the list of weights

        Raises
        ------
        ValueError
            If an argument does not fit the config or the other arguments; the message names it.
        """
        check_inputs(self.config, tokens, token_types, mask, head_gate, cache, return_attention, starts)
        x, patterns = self._run(tokens, token_types, mask, head_gate, cache, return_attention, trace, starts)
        logits = self.unembedding(x)
        return (logits, patterns) if return_attention else logits

    def hidden(
        self,
        tokens: Tensor,
        *,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        head_gate: Tensor | None = None,
        cache: Cache | None = None,
        trace: Trace | None = None,
        starts: Tensor | None = None,
    ) -> Tensor:
        """The last hidden states, shape (batch, n, d_model), from which the logits are read.

        Parameters, errors: as for `forward`.
        """
        check_inputs(self.config, tokens, token_types, mask, head_gate, cache, starts=starts)
        return self._run(tokens, token_types, mask, head_gate, cache, trace=trace, starts=starts)[0]

    def pooled(
        self, tokens: Tensor, *, token_types: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """One vector a text, shape (batch, d_model): a tanh layer on the first token's last hidden state.

        Parameters, errors: as for `forward`; also ValueError if the config has no pooler.

        Source: Devlin et al. 2019 (BERT), section 3.1, and its published code.
        """
        if self.pooler is None:
            raise ValueError("pooler must be True in the config for pooled outputs; got False")
        return torch.tanh(self.pooler(self.hidden(tokens, token_types=token_types, mask=mask)[:, 0]))

    def new_cache(self, *, batch: int, n_tokens: int | None = None) -> Cache:
        """An empty cache of keys and values for ``model(tokens, cache=cache)``.

        Parameters
        ----------
        batch : int
        n_tokens : int, optional
            Tokens to make room for, at most ``n_ctx``, which is the default.

        Raises
        ------
        ValueError
            If a number is out of range, or the model is an encoder, whose tokens all see each other, or one
            that must read a text as a whole.
        """
        config = self.config
        if config.kind != "decoder":
            raise ValueError(f"kind must be 'decoder' in the config for a cache; got {config.kind!r}")
        if (reason := without_cache(config)) is not None:
            raise ValueError(f"a cache needs tokens that can be read one by one; {reason}")
        n_tokens = config.n_ctx if n_tokens is None else n_tokens
        require_count(batch=batch, n_tokens=n_tokens)
        if n_tokens > config.n_ctx:
            raise ValueError(f"n_tokens must be at most n_ctx={config.n_ctx}; got {n_tokens}")
        return Cache(config, batch=batch, n_tokens=n_tokens, like=self.embedding.weight.detach())

    @torch.no_grad()
    def load_huggingface(self, state_dict: Mapping[str, Tensor]) -> Transformer:
        """Take over the weights of a GPT-2, BERT, Llama, Mistral or Mixtral checkpoint, in place.

        Parameters
        ----------
        state_dict : mapping of names to tensors
            As published or as the transformers library holds it, with or without the prefix of the body
            (``"transformer."``, ``"bert."``, ``"model."``). Mixtral's experts one by one (``w1``, ``w2``,
            ``w3``) or in one tensor (``gate_up_proj``, ``down_proj``). With tied embeddings the head may be
            absent, and must be equal to the embedding where it is not. Buffers are passed over. BERT's heads
            (``"cls."``) have no place in this model: take them out first.

        Returns
        -------
        Transformer
            The model itself.

        Raises
        ------
        ValueError
            Names every missing key, every unexpected one and every tensor of another shape; nothing has been
            loaded then.
        """
        weights = translate(self, self.config, state_dict)
        for name, parameter in self.named_parameters():
            parameter.copy_(weights[name])
        return self

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Go on with each text, one token at a time, keeping the keys and values of what was read.

        A model that must read a text as a whole (a mixture of depths, of groups of tokens, experts with a
        ``capacity_factor``, ``halting``) reads it again for each token.

        Parameters
        ----------
        tokens : integer tensor, shape (batch, n)
            The texts to go on with; none of them padding.
        max_new_tokens : int
            Tokens to add; at most ``n_ctx - n``.
        temperature : float
            The logits are divided by it: below 1 the likely become likelier. 0: always the likeliest.
        top_k : int, optional
            Draw from the ``top_k`` likeliest tokens only.
        top_p : float, optional
            Draw from the fewest likeliest tokens that have at least this probability together, after
            temperature and ``top_k``.
        generator : torch.Generator, optional
            Source of chance, on the device of ``tokens``; default torch's own.

        Returns
        -------
        integer tensor, shape (batch, n + max_new_tokens)
            The texts with their continuations.

        Raises
        ------
        ValueError
            If an argument is out of range, or the model is an encoder, or its experts choose their tokens, or
            it is a mixture of depths in training mode, which looks ahead.
        """
        config = self.config
        check_causal(self)
        check_inputs(config, tokens)
        require_count(max_new_tokens=max_new_tokens, least=0)
        check_sampling(temperature=temperature, top_k=top_k, top_p=top_p, vocab_size=config.vocab_size)
        batch, n = tokens.shape
        if n + max_new_tokens > config.n_ctx:
            raise ValueError(
                f"max_new_tokens must be at most n_ctx={config.n_ctx} less the {n} tokens given; "
                f"got {max_new_tokens}"
            )
        cached = without_cache(config) is None
        cache, new = self.new_cache(batch=batch, n_tokens=n + max_new_tokens) if cached else None, tokens
        for _ in range(max_new_tokens):
            x, _ = self._run(new if cached else tokens, cache=cache)
            logits = self.unembedding(x[:, -1])
            new = sample(logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
            new = new.to(tokens.dtype)
            tokens = torch.cat([tokens, new], dim=1)
        return tokens

    def embed(self, tokens: Tensor, *, token_types: Tensor | None = None, start: int = 0) -> Tensor:
        """What the first block reads of tokens, the first of them number ``start``: (batch, n, d_model)."""
        config, n = self.config, tokens.shape[1]
        x = self.embedding(tokens)
        if config.position == "learned":
            x = x + self.position_embedding.weight[start : start + n]
        elif config.position == "sinusoidal":
            x = x + self.position_table[start : start + n]
        if config.n_token_type:
            types = self.token_type_embedding
            x = x + (types.weight[0] if token_types is None else types(token_types))
        return cast(Tensor, self.embedding_norm(x))

    def rotary(self, x: Tensor, *, start: int = 0) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines for the places of ``x`` (batch, n, d_model), if the model turns its heads."""
        if self.config.position != "rotary":
            return None
        positions = torch.arange(start, start + x.shape[1], device=x.device)
        table = rotary_table(positions, d=self.config.d_head, theta=self.config.rope_theta)
        work = torch.promote_types(x.dtype, torch.float32)  # rounded once, not in every layer
        return table[0].to(work), table[1].to(work)

    def _run(
        self,
        tokens: Tensor,
        token_types: Tensor | None = None,
        mask: Tensor | None = None,
        head_gate: Tensor | None = None,
        cache: Cache | None = None,
        return_attention: bool = False,
        trace: Trace | None = None,
        starts: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Last hidden states and attention weights, of arguments that have been checked."""
        config, n = self.config, tokens.shape[1]
        if cache is None:
            require_whole_tiles(config, n)
        start = 0 if cache is None else cache.n_seen
        x = self.embed(tokens, token_types=token_types, start=start)
        rotary = self.rotary(x, start=start)
        older = start if config.window is None else min(start, config.window - 1)
        allowed, patterns = attention_mask(config, x, n_k=older + n, real=mask, slopes=self.alibi_slopes), []
        merging = Merging(config, x) if config.n_merge else None
        if self.halting is not None:
            context, block = Context(mask=allowed, rotary=rotary, trace=trace), self.blocks[0]
            x = run_until_halted(
                lambda x: cast(Tensor, block(x, context)[0]),
                self.halting,
                self.final_norm,
                x,
                config=config,
                training=self.training,
                trace=trace,
            )
            return x, []
        for layer, block in enumerate(self.blocks):
            if config.shorten > 1 and layer == 1:
                full, x = x, self._shortened(x, starts)
            if config.shorten > 1 and layer == config.n_layer - 1:
                x = full + self._spread(x, n, starts)
            # A group's position is its number, so that the short text has the first of the angles.
            angles = None if rotary is None else (rotary[0][: x.shape[1]], rotary[1][: x.shape[1]])
            context = Context(
                mask=allowed if merging is None else merging.mask(allowed),
                rotary=angles if merging is None else merging.rotary(rotary),
                head_gate=None if head_gate is None else head_gate[layer],
                cache=None if cache is None else cache.layers[layer],
                return_attention=return_attention,
                trace=trace,
                merging=merging,
            )
            x, weights = block(x, context)
            patterns.append(weights)
            if trace is not None and trace.states is not None:
                trace.states.append(self.final_norm(x))
        if cache is not None:
            cache.n_seen += n
        if merging is not None:
            x = merging.unmerge(x)
            if trace is not None:
                trace.merged = merging.group
        return self.final_norm(x), patterns

    def _shortened(self, x: Tensor, starts: Tensor | None) -> Tensor:
        """The short text that the blocks in the middle read, (batch, n_short, d_model)."""
        return pool_groups(x, size=self.config.shorten) if starts is None else pool_patches(x, starts)

    def _spread(self, short: Tensor, n: int, starts: Tensor | None) -> Tensor:
        """For each of ``n`` tokens what the blocks in the middle made of the short text."""
        if starts is None:
            return spread_groups(short, size=self.config.shorten, n=n)
        return spread_patches(short, starts)
