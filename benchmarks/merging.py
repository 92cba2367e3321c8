"""Time of models that read fewer positions, beside the plain model of the same depth. Run by ``make bench``.

The weights are random, so that tokens are merged without sense; the time does not depend on which. With each
name stands the ratio of the FLOPs counted: what the time's would be if nothing but products took any.
"""

from __future__ import annotations

from functools import partial

import torch
from harness import header, time_row

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import forward_flops
from scaling_transformers.model import Transformer


def forward_row(name: str, config: TransformerConfig, plain: TransformerConfig, *, n: int) -> None:
    """Forward pass over one text, up to the last hidden states."""
    torch.manual_seed(0)
    model, peer = Transformer(config).eval(), Transformer(plain).eval()
    peer.load_state_dict(model.state_dict())
    tokens = torch.randint(0, config.vocab_size, (1, n))
    products = flops(config, n=n) / flops(plain, n=n)
    with torch.inference_mode():
        time_row(
            f"{name}, FLOPs {products:.2f}",
            partial(model.hidden, tokens),
            partial(peer.hidden, tokens),
            target="",
        )


def flops(config: TransformerConfig, *, n: int) -> int:
    parts = forward_flops(config, batch=1, seq_len=n).by_part
    return sum(count for name, count in parts.items() if name != "unembedding")


def main() -> None:
    n = 512
    header(f"Blocks of BERT-base and GPT-2, 1 x {n} tokens, forward, float32; ratio = time, ours / plain")
    for n_layer in (6, 12):
        encoder = preset("bert-base").replace(n_layer=n_layer, norm_placement="pre")
        n_merge = n // 2 // n_layer
        forward_row(f"{n_layer} blocks merge {n_merge} each", encoder.replace(n_merge=n_merge), encoder, n=n)
    decoder = preset("gpt2").replace(n_layer=6)
    for shorten in (2, 4):
        forward_row(f"hourglass of 6, {shorten} to 1", decoder.replace(shorten=shorten), decoder, n=n)


if __name__ == "__main__":
    main()
