"""Speed of training and of decoding beside the transformers library, and of counting. Run by ``make bench``.

Both sides hold the same weights, take the same batch, use torch's fused AdamW and its fused attention, and
have no dropout. Decoding is greedy, and both sides must write the same tokens.

With a GPU, our model is also trained compiled, in bfloat16, and its share of the published peak is printed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from harness import header, interleaved, row, time_row
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    accelerators,
    count_parameters,
    forward_flops,
    measure_roofline,
    training_flops,
    vary,
)
from scaling_transformers.model import Transformer
from scaling_transformers.training import next_token_loss

SMALL = TransformerConfig(6, 256, 4, 8192, 1024, activation="gelu_tanh")


def gpt2_peer(config: TransformerConfig) -> Any:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.n_ctx,
            n_embd=config.d_model,
            n_layer=config.n_layer,
            n_head=config.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def llama_peer(config: TransformerConfig) -> Any:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_hidden_layers=config.n_layer,
            num_attention_heads=config.n_head,
            num_key_value_heads=config.n_kv_head,
            max_position_embeddings=config.n_ctx,
            rms_norm_eps=config.norm_eps,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    )


def both(config: TransformerConfig) -> tuple[Transformer, Any]:
    """Our model and the library's, with the same random weights."""
    torch.manual_seed(0)
    peer = (llama_peer if config.activation == "swiglu" else gpt2_peer)(config)
    return Transformer(config).load_huggingface(peer.state_dict()), peer


def stepper(model: Any, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """One step of training."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def training_rows(name: str, config: TransformerConfig, *, batch: int, n: int) -> None:
    ours, peer = both(config)
    tokens = torch.randint(0, config.vocab_size, (batch, n + 1))
    labels = tokens[:, 1:].contiguous()

    def our_loss() -> Tensor:
        return next_token_loss(ours, tokens[:, :-1], labels)

    def peer_loss() -> Tensor:  # it shifts the labels itself, so the last token is one more it reads
        loss: Tensor = peer(tokens[:, :-1], labels=labels, shift_labels=labels, use_cache=False).loss
        return loss

    with torch.no_grad():
        difference = abs(float(our_loss()) - float(peer_loss()))
    assert difference < 1e-4, f"the two losses differ by {difference}"
    time_row(
        f"training step, {name}, {batch} x {n} tokens",
        stepper(ours, our_loss),
        stepper(peer, peer_loss),
        target=">= 1.2",
    )


def decoding_rows(name: str, config: TransformerConfig, *, batch: int, n: int, n_new: int) -> None:
    ours, peer = both(config)
    ours.eval(), peer.eval()
    tokens = torch.randint(0, config.vocab_size, (batch, n))
    write_ours = partial(ours.generate, tokens, max_new_tokens=n_new, temperature=0)
    write_peer = partial(
        peer.generate, tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=n_new, do_sample=False
    )
    assert torch.equal(write_ours(), write_peer()), "the two write different tokens"
    time_row(
        f"decoding, {name}, {batch} x {n} + {n_new} tokens",
        write_ours,
        write_peer,
        target=">= 1.2",
    )


def utilisation_row(name: str, config: TransformerConfig, *, batch: int, n: int) -> None:
    """The FLOPs of training, counted, over those that the device could have done in the time."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    model = Transformer(config).to(device)
    tokens = torch.randint(0, config.vocab_size, (batch, n + 1), device=device)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    if on_gpu:
        chip = torch.cuda.get_device_name()
        peaks = [chip_.peak_flops for chip_ in accelerators() if chip_.name.split()[0] in chip]
        if not peaks:
            print(f"no published peak for {chip}: no utilisation")
            return
        peak, kind = peaks[0], "published peak, bfloat16, compiled"
        compiled = torch.compile(model)

        def loss() -> Tensor:
            with torch.autocast("cuda", torch.bfloat16):
                logits = compiled(inputs)
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    else:
        peak, kind = measure_roofline().peak_flops, "measured peak, float32"

        def loss() -> Tensor:
            return next_token_loss(model, inputs, targets)

    step, times = stepper(model, loss), []
    for _ in range(8):
        start = perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(perf_counter() - start)
    flops = training_flops(config, n_tokens=batch * n, seq_len=n)
    shares = flops / np.array(times[3:]) / peak
    row(
        f"share of {kind}, {name}, {batch} x {n}",
        f"{flops / np.median(times[3:]) / 1e9:.0f} GF/s",
        f"{peak / 1e9:.0f} GF/s",
        shares,
        ">= 0.5" if on_gpu else "",
    )


def counting_row() -> None:
    def count_many() -> None:
        widths, layers = np.arange(64, 64_064, 64)[:, None], np.arange(1, 101)
        many = vary(preset("gpt2"), d_model=widths, n_head=widths // 64, n_layer=layers)
        count_parameters(many)
        forward_flops(many, batch=1, seq_len=1024)

    def count_one_by_one() -> None:  # a hundredth of them
        for width in range(64, 6464, 640):
            for n_layer in range(1, 101):
                config = preset("gpt2").replace(d_model=width, n_head=width // 64, n_layer=n_layer)
                count_parameters(config)
                forward_flops(config, batch=1, seq_len=1024)

    pairs = interleaved(count_many, count_one_by_one, budget=3.0)
    row(
        "counting 100,000 configs; peer: 1,000 one by one",
        f"{np.median(pairs[:, 0]) * 1e3:.0f} ms",
        f"{np.median(pairs[:, 1]) * 1e3:.0f} ms",
        pairs[:, 0],
        "<= 1",
        " s",
    )


def main() -> None:
    logging.set_verbosity_error()
    gpt2 = preset("gpt2")
    llama = TransformerConfig(
        **{**vars(SMALL), "activation": "swiglu", "norm": "rmsnorm", "position": "rotary", "d_ff": 704},
    ).replace(bias=False, qkv_bias=False, tie_embeddings=False, n_kv_head=2)
    header("Peer: transformers, the same weights, float32; ratio = tokens a second, ours / peer")
    training_rows("6 x 256", SMALL, batch=8, n=128)
    training_rows("GPT-2 (124M)", gpt2, batch=1, n=256)
    training_rows("GPT-2 (124M)", gpt2, batch=4, n=256)
    training_rows("GPT-2 (124M)", gpt2, batch=1, n=1024)
    decoding_rows("6 x 256", SMALL, batch=1, n=32, n_new=64)
    decoding_rows("6 x 256, Llama", llama, batch=1, n=32, n_new=64)
    decoding_rows("GPT-2 (124M)", gpt2, batch=1, n=32, n_new=32)
    decoding_rows("GPT-2 (124M)", gpt2, batch=4, n=512, n_new=16)
    utilisation_row("GPT-2 (124M)", gpt2, batch=16 if torch.cuda.is_available() else 1, n=1024)
    counting_row()


if __name__ == "__main__":
    main()
