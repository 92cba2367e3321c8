"""Many configs at once: arrays of sizes around one config, counted by the same formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from scaling_transformers._numpy import ArrayLike, NDArray, np
from scaling_transformers.config import TransformerConfig

SIZES = (
    "n_layer",
    "d_model",
    "n_head",
    "vocab_size",
    "n_ctx",
    "n_kv_head",
    "d_head",
    "d_ff",
    "n_token_type",
    "n_expert",
    "n_expert_active",
    "window",
)
LARGEST = 2**53  # beyond it float64, in which FLOPs are counted, has gaps between whole numbers
_FIELDS = tuple(field.name for field in fields(TransformerConfig))


@dataclass(frozen=True, eq=False)
class ConfigArray:
    """Configs that differ in sizes only, as `vary` makes them.

    It has the fields of a `TransformerConfig`: an array of ``shape`` where the configs differ, the value of
    ``base`` elsewhere. An index picks one of them: ``many[3, 5]`` is a `TransformerConfig`.

    Attributes
    ----------
    base : TransformerConfig
    sizes : mapping of str to array
        The fields in which the configs differ, each of ``shape``.
    shape : tuple of int
    """

    base: TransformerConfig
    sizes: Mapping[str, NDArray[Any]]
    shape: tuple[int, ...]

    def __getattr__(self, name: str) -> Any:
        if name not in _FIELDS:  # methods of the base would answer for one config only
            raise AttributeError(f"ConfigArray has no attribute {name!r}")
        return self.sizes[name] if name in self.sizes else getattr(self.base, name)

    def __getitem__(self, index: Any) -> TransformerConfig:
        chosen = {name: array[index] for name, array in self.sizes.items()}
        if any(np.ndim(size) for size in chosen.values()):
            raise ValueError(f"index must pick one config of the shape {self.shape}; got {index!r}")
        return self.base.replace(**{name: int(size) for name, size in chosen.items()})

    def as_floats(self) -> ConfigArray:
        """The same with sizes in float64, whose products do not overflow."""
        return ConfigArray(
            self.base, {name: array.astype(np.float64) for name, array in self.sizes.items()}, self.shape
        )


def vary(config: TransformerConfig, **sizes: ArrayLike) -> ConfigArray:
    """Many configs at once: ``config`` with arrays in place of some of its sizes.

    The arrays broadcast against each other. Sizes of ``config`` that stand at their defaults are derived anew
    for each combination, as `TransformerConfig.replace` does. Every count of this package takes the result in
    place of a config, and then takes arrays for ``batch``, ``seq_len`` and ``n_tokens``, too; without any
    array, ``vary(config)`` is the one config to count at many lengths.

    Parameters
    ----------
    **sizes : array_like of int
        ``n_layer``, ``d_model``, ``n_head``, ``vocab_size``, ``n_ctx``, ``n_kv_head``, ``d_head``, ``d_ff``,
        ``n_token_type``, ``n_expert``, ``n_expert_active`` and ``window``, each at most 2**53.

    Returns
    -------
    ConfigArray
        Its ``shape`` is that to which the arrays broadcast.

    Raises
    ------
    ValueError
        If a field cannot vary, an array is empty or not of whole numbers, the shapes do not go together, or
        a combination is impossible; the message then names the field and the first such combination.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import count_parameters
    >>> many = vary(preset("gpt2"), d_model=np.array([[768], [1536]]), n_layer=[12, 24, 48])
    >>> many.shape, many[1, 2].d_ff
    ((2, 3), 6144)
    >>> count_parameters(many).total[0, 0]
    np.int64(124439808)
    """
    if not isinstance(config, TransformerConfig):
        raise ValueError(f"config must be a TransformerConfig; got {type(config).__name__}")
    given = {name: _whole_numbers(value, name=name) for name, value in sizes.items()}
    try:
        shape = np.broadcast_shapes(*(array.shape for array in given.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        raise ValueError(f"sizes must broadcast against each other; got the shapes {shapes}") from None
    derived = set(config.derived_fields()) - set(given)
    all_sizes: dict[str, Any] = {name: getattr(config, name) for name in SIZES} | given
    if "n_kv_head" in derived:
        all_sizes["n_kv_head"] = all_sizes["n_head"]
    if "d_head" in derived:
        all_sizes["d_head"] = all_sizes["d_model"] // np.maximum(all_sizes["n_head"], 1)
    if "d_ff" in derived:
        all_sizes["d_ff"] = 4 * all_sizes["d_model"]
    impossible = np.zeros(shape, dtype=bool)
    for wrong in _wrong(config, all_sizes, whole_heads="d_head" in derived):
        impossible |= wrong
    if impossible.any():
        _refuse(config, given, impossible)
    differing = {name for name in SIZES if name in given or (name in derived and np.ndim(all_sizes[name]))}
    return ConfigArray(
        config, {n: np.broadcast_to(all_sizes[n], shape) for n in SIZES if n in differing}, shape
    )


def _whole_numbers(value: ArrayLike, *, name: str) -> NDArray[np.int64]:
    if name not in SIZES:
        if name in _FIELDS:
            raise ValueError(f"{name} cannot vary, use config.replace; the sizes that can are {SIZES}")
        raise ValueError(f"unknown field {name!r}; the sizes that can vary are {SIZES}")
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        raise ValueError(f"{name} must be an array of whole numbers; got rows of unequal length") from None
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    if array.dtype.kind not in "iu" or array.max() > LARGEST:
        got = f"a largest of {array.max()}" if array.dtype.kind in "iu" else f"dtype {array.dtype}"
        raise ValueError(f"{name} must be an array of whole numbers of at most 2**53; got {got}")
    return array.astype(np.int64)


def _wrong(config: TransformerConfig, size: Mapping[str, Any], *, whole_heads: bool) -> Iterator[Any]:
    """Where the sizes break a rule of `TransformerConfig`, one rule after the other."""
    for name in SIZES:
        if size[name] is not None:
            yield size[name] < (0 if name == "n_token_type" else 1)
    yield size["n_head"] % np.maximum(size["n_kv_head"], 1) != 0
    if whole_heads:
        yield size["d_model"] % np.maximum(size["n_head"], 1) != 0
    yield size["n_expert_active"] > size["n_expert"]
    if config.position == "rotary":
        yield size["d_head"] % 2 != 0
    if config.position == "sinusoidal":
        yield size["d_model"] % 2 != 0
    if config.kind == "encoder":
        yield size["window"] is not None


def _refuse(
    config: TransformerConfig, given: Mapping[str, NDArray[np.int64]], impossible: NDArray[np.bool_]
) -> NoReturn:
    """Raise what `TransformerConfig` says of the first impossible combination."""
    index = tuple(int(i) for i in np.unravel_index(np.argmax(impossible), impossible.shape))
    first = {name: int(np.broadcast_to(array, impossible.shape)[index]) for name, array in given.items()}
    try:
        config.replace(**first)
    except ValueError as error:
        sizes = ", ".join(f"{name}={size}" for name, size in first.items())
        raise ValueError(
            f"{error}; the first of {np.count_nonzero(impossible)} impossible combinations "
            f"is at index {index}: {sizes}"
        ) from None
    raise AssertionError(f"a rule here is not one of TransformerConfig's: {first}")
