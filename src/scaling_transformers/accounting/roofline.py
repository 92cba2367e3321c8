"""Arithmetic against memory traffic: which of the two limits a pass, on published machines and on this."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

from scaling_transformers._numpy import ArrayLike, NDArray, np
from scaling_transformers.accounting._inputs import (
    Config,
    Number,
    Whole,
    least,
    require_all_tokens,
    require_config,
    require_count,
    require_length,
    require_positive,
    result,
    result_shape,
)
from scaling_transformers.accounting.flops import Stack, experts_a_token, flops_by_part
from scaling_transformers.accounting.variation import ConfigArray


@dataclass(frozen=True)
class Traffic:
    """FLOPs of a pass, and bytes moved between memory and chip, by part.

    Numbers of one config, arrays (float64) of many. A part that the model lacks is 0 in both.
    """

    flops_by_part: dict[str, Number]  #: FLOPs of each part of the model.
    bytes_by_part: dict[str, Number]  #: Bytes moved for each part.

    @property
    def flops(self) -> Number:
        """FLOPs of all parts."""
        return sum(self.flops_by_part.values())

    @property
    def bytes(self) -> Number:
        """Bytes of all parts."""
        return sum(self.bytes_by_part.values())

    @property
    def intensity(self) -> Number:
        """Arithmetic intensity of the whole pass: FLOP per byte."""
        return self.flops / self.bytes

    @property
    def intensity_by_part(self) -> dict[str, Number]:
        """FLOP per byte of each part, 0 for a part that the model lacks."""
        # a part without bytes has no FLOPs either, so any divisor makes it 0
        return {
            name: self.flops_by_part[name] / (moved + (moved == 0))
            for name, moved in self.bytes_by_part.items()
        }


def arithmetic_intensity(
    config: Config,
    *,
    batch: Whole,
    seq_len: Whole,
    n_new: Whole | None = None,
    bytes_per_element: float = 2,
) -> Traffic:
    """FLOPs and bytes of one pass over the last ``n_new`` tokens of ``batch`` texts of ``seq_len`` tokens.

    By default the pass reads the whole text (prefill). With ``n_new=1`` it writes one token (a step of
    decoding), with the keys and values of the ``seq_len - 1`` before it in the cache.

    FLOPs are counted as in `forward_flops`. Bytes are the least that separate kernels, one a part, can move:

    - Each weight matrix is read once. Of several experts those are read that some token is sent to: tokens
      that choose k of E at random hit E (1 - (1 - k/E)^tokens) in expectation.
    - What a product reads and writes moves once. Queries, keys and values are one product; so are the ways up
      of a gated layer, whose gate is applied before the result is written. Each expert reads and writes the
      vectors of its own tokens.
    - Attention is one fused kernel, which never writes the scores: to ``scores`` belong the queries and keys,
      to ``values`` the values and the result. The keys and values of a group of heads are read once. With a
      window only those are there that the new tokens see, at most ``window - 1 + n_new``, for bytes and
      FLOPs. As in `forward_flops`, masked pairs are multiplied.
    - Norms, activations, biases, residuals, embedding lookups and sampling are taken as fused: nothing.

    Parameters
    ----------
    batch, seq_len : int
        Texts, and tokens in each with the new ones, at most ``n_ctx``.
    n_new : int, optional
        Tokens that the pass reads, at most ``seq_len``. Default ``seq_len``, as it must be in an encoder.
    bytes_per_element : float
        Of weights, activations and cache: 2 for bfloat16, 4 for float32.

    Raises
    ------
    ValueError
        If a number is out of range, ``n_new`` is not ``seq_len`` in an encoder, or the model's blocks read
        fewer tokens than the text has, or not all pairs of them.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> llama = preset("llama-2-7b")
    >>> prefill = arithmetic_intensity(llama, batch=1, seq_len=2048)
    >>> decode = arithmetic_intensity(llama, batch=1, seq_len=2048, n_new=1)
    >>> f"{prefill.intensity:.0f} FLOP/byte to read, {decode.intensity:.2f} to write"
    '1290 FLOP/byte to read, 1.00 to write'

    Source: Williams, Waterman and Patterson 2009 (Roofline), for operational intensity; Shazeer 2019, section
    2.4.1, for the memory access of a step of decoding; Dao et al. 2022 (FlashAttention) for the fused kernel.
    """
    require_config(config)
    require_all_tokens(config, "arithmetic_intensity")
    batch, n = require_count(batch, name="batch", config=config), require_length(seq_len, config)
    new = n if n_new is None else require_count(n_new, name="n_new", config=config)
    element = require_positive(bytes_per_element, name="bytes_per_element")
    shape = result_shape(config, batch=batch, seq_len=n, n_new=new)
    if np.any(new > n):
        raise ValueError(f"n_new must be at most seq_len={seq_len}; got {n_new}")
    if config.kind == "encoder" and np.any(new != n):
        raise ValueError(f"n_new must be seq_len={seq_len} in an encoder, which keeps no cache; got {n_new}")
    config = config.as_floats() if isinstance(config, ConfigArray) else config
    n_key = n if config.window is None else least(n, config.window - 1 + new)
    stacks = [Stack(config.n_layer, new, new * n_key, new)]
    flops = flops_by_part(config, batch=batch, n_new=new, stacks=stacks)
    d, d_query, d_key = config.d_model, config.n_head * config.d_head, config.n_kv_head * config.d_head
    tokens = batch * new
    n_up = 2 if config.activation in ("swiglu", "geglu") else 1
    n_read = config.n_expert * (1 - (1 - config.n_expert_active / config.n_expert) ** tokens)
    n_read = n_read + config.n_expert_shared
    to_experts = tokens * experts_a_token(config)
    layer = {
        "query_key_value": _product(tokens, d, d_query + 2 * d_key),
        "scores": tokens * d_query + batch * n_key * d_key,
        "values": tokens * d_query + batch * n_key * d_key,
        "output": _product(tokens, d_query, d),
        "feed_forward": n_read * (n_up + 1) * d * config.d_ff + to_experts * 2 * (d + config.d_ff),
        "router": _product(tokens, d, config.n_expert) * (config.n_expert > 1),
    }
    elements = {name: config.n_layer * moved for name, moved in layer.items()}
    elements["unembedding"] = _product(tokens, d, config.vocab_size)
    elements["pooler"] = _product(batch, d, d) if config.pooler else 0
    return Traffic(
        {name: result(count, shape) for name, count in flops.items()},
        {name: result(element * moved, shape) for name, moved in elements.items()},
    )


def _product(m: Number, n: Number, k: Number) -> Any:
    """Elements that a product of an (m, n) with an (n, k) matrix reads and writes."""
    return m * n + n * k + m * k


class Roof(Protocol):
    """What limits a machine; `Accelerator` and `MeasuredRoofline` both say it."""

    @property
    def peak_flops(self) -> float:
        """Arithmetic at best, FLOP/s."""

    @property
    def bandwidth(self) -> float:
        """Memory traffic at best, bytes/s."""


def attainable_flops(intensity: ArrayLike, *, peak_flops: float, bandwidth: float) -> Any:
    """Most FLOP/s at an arithmetic intensity: ``min(peak_flops, intensity * bandwidth)``, the roofline.

    Parameters
    ----------
    intensity : array_like, shape (...)
        FLOP per byte, not negative.
    peak_flops, bandwidth : float
        FLOP/s and bytes/s.

    Returns
    -------
    float, or array of shape (...)

    Raises
    ------
    ValueError
        If a number is not positive and finite, or an intensity is negative or not a number.

    Examples
    --------
    >>> attainable_flops([1, 1000], peak_flops=312e12, bandwidth=2e12) / 1e12
    array([  2., 312.])

    Source: Williams, Waterman and Patterson 2009 (Roofline), section 4.
    """
    values = np.asarray(intensity)
    if values.dtype.kind not in "iuf" or not np.all(values >= 0):
        raise ValueError(f"intensity must be numbers of at least 0; got {intensity!r}")
    peak = require_positive(peak_flops, name="peak_flops")
    return np.minimum(peak, values * require_positive(bandwidth, name="bandwidth"))


def least_seconds(traffic: Traffic, roof: Roof) -> Number:
    """Least seconds of a pass: its parts one after the other, each at the roofline.

    A part takes ``max(flops / peak_flops, bytes / bandwidth)``, for the chip multiplies while it loads. Only
    one device is meant, and that its memory holds the model is not checked.

    Parameters
    ----------
    traffic : Traffic
        From `arithmetic_intensity`.
    roof : Accelerator or MeasuredRoofline
        Or anything else with ``peak_flops`` and ``bandwidth``.

    Raises
    ------
    ValueError
        If a number of ``roof`` is not positive and finite.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import accelerator
    >>> step = arithmetic_intensity(preset("llama-2-7b"), batch=1, seq_len=2048, n_new=1)
    >>> f"{1 / least_seconds(step, accelerator('A100')):.0f} tokens a second at most"
    '143 tokens a second at most'
    """
    peak = require_positive(roof.peak_flops, name="peak_flops")
    bandwidth = require_positive(roof.bandwidth, name="bandwidth")
    return sum(
        np.maximum(flops / peak, traffic.bytes_by_part[name] / bandwidth)
        for name, flops in traffic.flops_by_part.items()
    )


@dataclass(frozen=True, eq=False)
class MeasuredRoofline:
    """What a machine did: its two roofs, and products of thin to thick matrices between them.

    Attributes
    ----------
    peak_flops : float
        FLOP/s of the fastest square product.
    bandwidth : float
        Bytes/s of the fastest pass over arrays far bigger than the caches.
    n_row : array of int, shape (n,)
        Rows m of the left matrix of each point; 1 is a product of a matrix with a vector.
    intensity : array, shape (n,)
        FLOP per byte of each point, computed.
    flops, flops_low, flops_high : array, shape (n,)
        FLOP/s of each point, measured: the median over the repeats, and the quartiles.
    dtype : str
    """

    peak_flops: float
    bandwidth: float
    n_row: NDArray[np.int64]
    intensity: NDArray[np.float64]
    flops: NDArray[np.float64]
    flops_low: NDArray[np.float64]
    flops_high: NDArray[np.float64]
    dtype: str

    @property
    def ridge(self) -> float:
        """FLOP per byte from which on arithmetic is the limit, and below which memory is."""
        return self.peak_flops / self.bandwidth


_SIDE = 2048  # of the matrices; the product of 1024 rows with one takes some tenths of a second on a core
_BYTES = 2**28  # of all of them together, read one after the other: no cache keeps one until its next turn


def measure_roofline(*, seconds: float = 4.0, dtype: str = "float32") -> MeasuredRoofline:
    """Measure the roofline of the machine that this runs on, with NumPy.

    The roofs are the fastest of all repeats, for what else the machine does can only slow them down:

    - ``peak_flops``: square products of 256 to 4096 rows, as many sizes as time allows, or a point if faster.
    - ``bandwidth``: the dot product of two arrays (2 arrays read) or their sum (2 read, 1 written) of more
      than 80 MiB each, or a point if faster. What the cache reads before it writes is not counted, as in
      STREAM.

    The points are products of an (m, 2048) matrix for m = 1, 2, 4, ..., 1024 with (2048, 2048) matrices, a
    new one each time, out of 256 MiB: caches of that size would be taken for memory. Bytes are those of
    `arithmetic_intensity`: both factors read once, the product written once. A point below the roofs shows
    what the library costs on top, which for a few rows is much: most copy the matrix into another order
    before they multiply. Other programs that run meanwhile push the points down as well.

    The threads are those that NumPy's library takes, on which ``OMP_NUM_THREADS`` has a say.

    Parameters
    ----------
    seconds : float
        Time to take; more means more repeats. At least 3 are made of each point, which may take longer.
    dtype : str
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    ValueError
        If ``seconds`` is not positive and finite, or ``dtype`` neither of the two.

    Source: Williams, Waterman and Patterson 2009 (Roofline); McCalpin 1995 (STREAM), for the bandwidth.
    """
    seconds = require_positive(seconds, name="seconds")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64'; got {dtype!r}")
    itemsize = np.dtype(dtype).itemsize
    # ones, for a product takes as long whatever its numbers are; what is never written may take no memory
    matrices = np.ones((_BYTES // (itemsize * _SIDE**2), _SIDE, _SIDE), dtype=dtype)
    peak = _measure_peak(dtype, seconds=0.2 * seconds)
    bandwidth = _measure_bandwidth(matrices.reshape(-1), seconds=0.1 * seconds)
    n_row = 2 ** np.arange(11)
    turn, points = cycle(matrices), []
    for m in n_row:
        left, out = np.ones((m, _SIDE), dtype=dtype), np.empty((m, _SIDE), dtype=dtype)
        taken = _seconds_of(_product_with_next(left, turn, out), seconds=0.7 * seconds / len(n_row))
        points.append(np.quantile(2.0 * m * _SIDE**2 / taken, [0.25, 0.5, 0.75, 1]))
    low, middle, high, fastest = np.transpose(points)
    intensity = 2.0 * n_row * _SIDE**2 / (itemsize * _product(n_row, _SIDE, _SIDE))
    peak = max(peak, float(fastest.max()))
    bandwidth = max(bandwidth, float((fastest / intensity).max()))
    return MeasuredRoofline(peak, bandwidth, n_row, intensity, middle, low, high, dtype)


def _measure_peak(dtype: str, *, seconds: float) -> float:
    rates, end = [], time.perf_counter() + seconds
    for size in (256, 512, 1024, 2048, 4096):
        square = np.ones((size, size), dtype=dtype)
        taken = _seconds_of(_product_with_next(square, cycle([square]), square.copy()), seconds=seconds / 10)
        rates.append(2.0 * size**3 / float(taken.min()))
        if time.perf_counter() + 4 * 8 * taken.min() > end:  # 4 runs of twice the size
            break
    return max(rates)


def _measure_bandwidth(memory: NDArray[Any], *, seconds: float) -> float:
    a, b, total = memory[: 3 * (len(memory) // 3)].reshape(3, -1)
    n_thread = _n_thread()
    pieces = [np.array_split(array, n_thread) for array in (a, b, total)]
    with ThreadPoolExecutor(n_thread) as pool:  # NumPy adds on one thread, and lets others run meanwhile
        adding = _seconds_of(lambda: list(pool.map(np.add, *pieces)), seconds=seconds / 2)
    reading = _seconds_of(lambda: np.dot(a, b), seconds=seconds / 2)
    memory[:] = 1  # the sums are gone
    return max(2.0 * a.nbytes / float(reading.min()), 3.0 * a.nbytes / float(adding.min()))


def _n_thread() -> int:
    """Threads that NumPy's library takes: as many as the cores it may use, unless told otherwise."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, int(told)) if told.isdecimal() and int(told) > 0 else usable


def _product_with_next(
    left: NDArray[Any], turn: Iterator[NDArray[Any]], out: NDArray[Any]
) -> Callable[[], Any]:
    return lambda: np.matmul(left, next(turn), out=out)


def _seconds_of(run: Callable[[], Any], *, seconds: float, at_least: int = 3) -> NDArray[np.float64]:
    """Seconds of each of several runs after one to warm up: for the time given, and ``at_least`` so many."""
    run()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return np.array(taken)
