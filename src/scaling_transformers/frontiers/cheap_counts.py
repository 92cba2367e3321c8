"""Operations, bytes and joules of transformers that save in five ways, counted; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scaling_transformers.accounting import arithmetic_intensity, forward_flops
from scaling_transformers.accounting._inputs import require_count
from scaling_transformers.config import TransformerConfig
from scaling_transformers.footprint.operations import ChipEnergy, operation

#: Ways to make a transformer; all but the first save something.
WAYS = ("dense", "ternary", "int4", "linear", "state space")
BLOCK = 32  # tokens in a block of linear attention
N_STATE, N_TAP = 16, 4  # of the state space: numbers a channel keeps, tokens its convolution sees
BITS = {"ternary": 2, "int4": 4}  # of a weight as it is stored; three values need log2(3) = 1.58 at least
FLOAT_BYTES, STATE_BYTES, SCALE_BYTES = 2, 4, 2
SCAN_OPERATIONS = 9  # a number of the state and token; see `mixer_flops`


def require_way(way: str) -> None:
    """Refuse a way that is none of the `WAYS`."""
    if way not in WAYS:
        raise ValueError(f"way must be one of {WAYS}; got {way!r}")


def mixer_flops(config: TransformerConfig, way: str, *, n: int) -> int:
    """FLOPs of one layer that mixes tokens, without its projections to and from the width, of ``n`` tokens.

    Softmax attention: all pairs, scores and values, ``4 n^2 d``. Linear attention, of heads ``h`` wide, by
    blocks of `BLOCK` tokens: in a block all pairs, ``2 BLOCK (2 h + 1)`` a token and head; with the state of
    ``h (h + 1)`` numbers, one reading and one writing, ``4 h (h + 1)``. State space: `SCAN_OPERATIONS` for
    each of its ``d n_state`` numbers (step times rate, 1 added, division by the rate, input times B, that
    times the gain, decay times state and the sum of both, product with C and its sum), the convolution
    ``2 N_TAP d``, and the product that selects step, B and C, ``2 d (1 + 2 n_state)``.

    Exponentials, norms, gates and features are not counted, as softmax is not in `forward_flops`.

    Raises
    ------
    ValueError
        If there is no such way, or ``n`` is not a whole number of at least 1, and for linear attention one
        of whole blocks.
    """
    require_way(way)
    require_count(n, name="n", config=config)
    d, h = config.d_model, config.d_head
    if way == "linear":
        if n % BLOCK:
            raise ValueError(f"n must be a multiple of {BLOCK} for linear attention; got {n}")
        return n * config.n_head * (2 * BLOCK * (2 * h + 1) + 4 * h * (h + 1))
    if way == "state space":
        return n * d * (SCAN_OPERATIONS * N_STATE + 2 * N_TAP + 2 * (1 + 2 * N_STATE))
    return 4 * n * n * config.n_head * h


def forward_flops_of(config: TransformerConfig, way: str, *, n: int) -> dict[str, int]:
    """FLOPs by part of a pass over one text of ``n`` tokens.

    ``projections`` of the mixing layers to and from the width, ``mixing`` (`mixer_flops`), ``feed_forward``
    and ``unembedding``. Rounded weights are multiplied as floats are, as they are in training.
    """
    parts = forward_flops(config, batch=1, seq_len=n).by_part
    projections = parts["query_key_value"] + parts["output"]
    if way == "state space":  # in, with the gate, and out
        projections = config.n_layer * 2 * n * 3 * config.d_model**2
    return {
        "projections": int(projections),
        "mixing": config.n_layer * mixer_flops(config, way, n=n),
        "feed_forward": int(parts["feed_forward"]),
        "unembedding": int(parts["unembedding"]),
    }


def training_flops_of(config: TransformerConfig, way: str, *, n_tokens: float, n: int) -> float:
    """FLOPs of training on ``n_tokens`` in texts of ``n``, three forward passes as in `training_flops`."""
    return 3.0 * sum(forward_flops_of(config, way, n=n).values()) * (n_tokens / n)


class PartWork(NamedTuple):
    """What one part of the model does to write a token."""

    multiplies: float  #: Multiplications.
    adds: float  #: Additions.
    bytes: float  #: Moved between memory and chip.


@dataclass(frozen=True)
class Decoding:
    """What writing one token takes, of a text alone on the chip: ``work`` by part."""

    work: dict[str, PartWork]

    @property
    def bytes(self) -> float:
        """Moved between memory and chip."""
        return sum(part.bytes for part in self.work.values())

    @property
    def operations(self) -> float:
        """Multiplications and additions."""
        return sum(part.multiplies + part.adds for part in self.work.values())

    def energy(
        self,
        *,
        multiply: str = "bfloat16",
        add: str = "float32",
        memory: str = "HBM2",
        node_nm: int = 7,
    ) -> ChipEnergy:
        """Joules by part, from the published energies of `scaling_transformers.footprint.operation`."""
        product = operation(f"multiply {multiply}", node_nm=node_nm).picojoule * 1e-12
        sum_ = operation(f"add {add}", node_nm=node_nm).picojoule * 1e-12
        access = operation(f"access {memory}", node_nm=node_nm)
        per_byte = access.picojoule / access.bytes * 1e-12
        return ChipEnergy(
            {name: part.multiplies * product + part.adds * sum_ for name, part in self.work.items()},
            {name: part.bytes * per_byte for name, part in self.work.items()},
        )


def decoding(config: TransformerConfig, way: str, *, context: int) -> Decoding:
    """Operations and bytes of writing one token, with ``context`` tokens in the text and it among them.

    As `arithmetic_intensity` counts a step of decoding with a batch of 1 and floats of 2 bytes; then:

    - Rounded weights move `BITS` each and their scales: of ternary ones a scale a matrix, of int4 ones a
      scale a row. A ternary product has additions only, and one multiplication by the scale a number of its
      result; activations stay floats. Additions of zeros are counted.
    - Linear attention and the state space read and write their state of float32 once, in place of the cache
      of keys and values, which softmax attention reads whole.

    Parameters
    ----------
    context : int
        At least 1. Beyond ``n_ctx`` it is taken as if the model had been made for it.
    """
    require_way(way)
    require_count(context, name="context", config=config)
    base = arithmetic_intensity(
        config.replace(n_ctx=max(context, config.n_ctx)), batch=1, seq_len=context, n_new=1
    )
    work = {
        name: PartWork(flops / 2, flops / 2, float(base.bytes_by_part[name]))
        for name, flops in base.flops_by_part.items()
        if base.bytes_by_part[name]
    }
    d, n_layer = config.d_model, config.n_layer
    if way in BITS:
        n_up = 2 if config.activation in ("swiglu", "geglu") else 1
        d_query, d_key = config.n_head * config.d_head, config.n_kv_head * config.d_head
        matrices = {
            "query_key_value": [(d, d_query), (d, d_key), (d, d_key)],
            "output": [(d_query, d)],
            "feed_forward": [(d, config.d_ff)] * n_up + [(config.d_ff, d)],
        }
        for name, shapes in matrices.items():
            part = work[name]
            weights = n_layer * sum(n_in * n_out for n_in, n_out in shapes)
            rows = n_layer * sum(n_out for _, n_out in shapes)
            scales = n_layer * len(shapes) if way == "ternary" else rows
            moved = part.bytes - weights * FLOAT_BYTES + weights * BITS[way] / 8 + scales * SCALE_BYTES
            products = 0.0 if way == "ternary" else part.multiplies
            work[name] = PartWork(products + rows, part.adds, moved)
    elif way == "linear":
        del work["scores"], work["values"]
        h, heads = config.d_head, config.n_head
        state = heads * h * (h + 1)
        work["state"] = _layers(n_layer, 2 * state, 2 * state, 2 * state * STATE_BYTES + 4 * d * FLOAT_BYTES)
    elif way == "state space":
        for name in ("scores", "values"):
            del work[name]
        state, chosen = d * N_STATE, 1 + 2 * N_STATE
        work["query_key_value"] = _product(n_layer, d, 2 * d)
        work["output"] = _product(n_layer, d, d)
        select = _product(n_layer, d, chosen)
        own = (d * N_STATE + (N_TAP + 3) * d) * FLOAT_BYTES  # rates; taps, their bias, step's bias, skip
        kept = 2 * (state + (N_TAP - 1) * d) * STATE_BYTES
        scanned = _layers(
            n_layer, 6 * state + N_TAP * d, 3 * state + N_TAP * d, own + kept + 3 * d * FLOAT_BYTES
        )
        work["state"] = PartWork(*(a + b for a, b in zip(select, scanned, strict=True)))
    return Decoding(work)


def _product(n_layer: int, n_in: int, n_out: int) -> PartWork:
    """A product of a vector with a matrix of floats, once in every layer."""
    return _layers(n_layer, n_in * n_out, n_in * n_out, (n_in * n_out + n_in + n_out) * FLOAT_BYTES)


def _layers(n_layer: int, multiplies: float, adds: float, moved: float) -> PartWork:
    return PartWork(n_layer * multiplies, n_layer * adds, n_layer * moved)


def crossover(config: TransformerConfig, way: str, *, dense: str = "dense", most: int = 2**24) -> int | None:
    """The shortest text at whose end a way writes a token with fewer joules than softmax attention does.

    Parameters
    ----------
    way, dense : two of the `WAYS`
    most : int
        Where the search ends.

    Returns
    -------
    int, tokens; None where it is beyond ``most``
    """

    def cheaper(context: int) -> bool:
        one, other = (decoding(config, name, context=context).energy().total for name in (way, dense))
        return one < other

    if cheaper(1):
        return 1
    low, high = 1, most
    if not cheaper(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cheaper(middle) else (middle, high)
    return high
