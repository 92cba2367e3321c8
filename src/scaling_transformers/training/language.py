"""An endless synthetic language whose entropy is known exactly, and whose rules come in all frequencies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from scaling_transformers.attention.masks import require_count

_SEED = 0x5CA1E  # of the tables of every language, with the language's own seed
_LIMIT = 2**32  # thresholds of the alias tables are counted in this many parts
_AT_ONCE = 2**15  # nodes drawn together: their arrays stay in a processor's cache


@dataclass(frozen=True)
class SyntheticLanguage:
    """Text without end, made of trees: a rule writes ``branching`` symbols, each by a rule of its own.

    With ``depth=1`` a tree is a word of ``branching`` tokens, and the language is a list of ``n_rule`` words.
    Each next word is drawn on its own, the one of rank ``k`` with a probability proportional to
    ``k ** -(1 + exponent)``: Zipf's law. With more depth a word is a symbol's rule: the root's rules write
    ``branching`` symbols of the level below, and so on down to tokens. Each level has ``vocab_size`` symbols
    and ``n_rule`` rules, shared evenly among them; the root alone has ``n_rule``.

    No two rules of a level write the same symbols, so that a tree can be told from its tokens. Then the
    entropy of a tree is the sum of the entropies of the draws that made it. With ``H(m)`` the entropy of
    Zipf's law over ``m`` ranks, and ``s = branching``, a tree of depth ``L`` has ``s ** L`` tokens, one draw
    among ``n_rule`` and ``s + s ** 2 + ... + s ** (L - 1)`` draws among ``n_rule / vocab_size``. Trees do not
    depend on each other, so that the entropy a token is that of a tree over its length (`entropy_rate`).

    The draws are a pure function of ``stream`` and position: any part of a stream can be made at any time,
    the same on every device.

    Parameters
    ----------
    vocab_size : int
        Tokens, and symbols of each level between; a power of two, at most 256.
    n_rule : int
        Rules of each level; a power of two, at least ``2 * vocab_size``, at most ``vocab_size ** branching``.
    branching : int
        Symbols that a rule writes; ``vocab_size ** branching`` must stay below ``2 ** 62``.
    depth : int
        Levels of rules.
    exponent : float
        ``a`` in Zipf's law ``k ** -(1 + a)``; above 0.
    seed : int
        Of the rules.

    Raises
    ------
    ValueError
        If a parameter is outside what is said above.

    Notes
    -----
    Theory predicts how the loss of a learner falls to the entropy. One that knows the ``n`` most frequent
    rules alone is left with their tail, of probability near ``n ** -a``. A model that stores rules in
    proportion to its parameters has an excess loss near ``N ** -a`` (`alpha`). One that has learnt a rule
    once it came by, after ``D`` tokens, knows those of probability above about ``1 / D``, which are
    ``n`` near ``D ** (1 / (1 + a))``: an excess near ``D ** (-a / (1 + a))`` (`beta`). Both are limits, for
    many words of an endless list; `partial_loss` says what the same learners lose on this one.

    Source: Hutter 2021, "Learning Curve Theory", section 3, for the data; Michaud et al. 2023, "The
    Quantization Model of Neural Scaling", section 2, for both.

    Examples
    --------
    >>> language = SyntheticLanguage(vocab_size=4, n_rule=16, branching=2)
    >>> text = language.tokens(start=0, n=12, stream=1)
    >>> bool((language.tokens(start=4, n=8, stream=1) == text[4:]).all())
    True
    >>> round(language.alpha, 3), round(language.beta, 3)
    (0.5, 0.333)
    """

    vocab_size: int = 64
    n_rule: int = 2**18
    branching: int = 4
    depth: int = 1
    exponent: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        require_count(branching=self.branching, depth=self.depth)
        require_count(seed=self.seed, least=0)
        for name in ("vocab_size", "n_rule"):
            value = getattr(self, name)
            require_count(**{name: value})
            if value & (value - 1):
                raise ValueError(f"{name} must be a power of two; got {value}")
        if not 2 <= self.vocab_size <= 256:
            raise ValueError(f"vocab_size must be from 2 to 256; got {self.vocab_size}")
        strings = self.vocab_size**self.branching
        if strings >= 2**62:
            raise ValueError(f"vocab_size ** branching must stay below 2 ** 62; got {strings}")
        if not 2 * self.vocab_size <= self.n_rule <= strings:
            raise ValueError(
                f"n_rule must be from 2 * vocab_size={2 * self.vocab_size} to "
                f"vocab_size ** branching={strings}; got {self.n_rule}"
            )
        if not (np.isfinite(self.exponent) and self.exponent > 0):
            raise ValueError(f"exponent must be finite and above 0; got {self.exponent!r}")

    @property
    def alpha(self) -> float:
        """The exponent with which theory has the excess loss fall in many parameters: `exponent`."""
        return self.exponent

    @property
    def beta(self) -> float:
        """The exponent with which theory has the excess loss fall in many tokens: ``a / (1 + a)``."""
        return self.exponent / (1 + self.exponent)

    @property
    def tree_length(self) -> int:
        """Tokens of a tree: ``branching ** depth``."""
        return int(self.branching**self.depth)

    @cached_property
    def entropy_rate(self) -> float:
        """Entropy a token, in nats: no predictor has a lower loss over whole trees."""
        total = sum(
            self.branching**below * _entropy(level.probability) for below, level in enumerate(self._levels)
        )
        return float(total / self.tree_length)

    @property
    def word_probability(self) -> NDArray[np.float64]:
        """Probability of each word (rule of the root) by rank, shape (n_rule,)."""
        return self._levels[0].probability.copy()

    def partial_loss(self, known: NDArray[Any]) -> float:
        """Loss of a learner that knows some of the words and takes all others for random strings.

        It gives a word that it knows the word's probability, and shares what is left evenly among all
        strings of that length.

        Parameters
        ----------
        known : array, shape (n_rule,)
            By rank: True or False, or the probability that the word is known, from 0 to 1. With
            probabilities, what is left is taken at its mean.

        Returns
        -------
        float, in nats per token

        Raises
        ------
        ValueError
            If ``known`` has another shape or holds anything else, or the language has more than one level.

        Examples
        --------
        >>> language = SyntheticLanguage(vocab_size=4, n_rule=16, branching=2)
        >>> bool(np.isclose(language.partial_loss(np.ones(16)), language.entropy_rate))
        True
        >>> bool(np.isclose(language.partial_loss(np.zeros(16)), np.log(4)))
        True
        """
        if self.depth != 1:
            raise ValueError(f"depth must be 1 for words to be all there is to know; got {self.depth}")
        share, p = np.asarray(known, dtype=np.float64), self._levels[0].probability
        if share.shape != p.shape or not bool(((share >= 0) & (share <= 1)).all()):
            raise ValueError(f"known must have shape {p.shape} and lie from 0 to 1; got shape {share.shape}")
        each = float(p @ (1 - share)) / self.vocab_size**self.branching
        loss = -float((share * p) @ np.log(p + each))
        if each > 0:
            loss -= float((1 - share) @ p) * float(np.log(each))
        return loss / self.branching

    def tokens(self, *, start: int, n: int, stream: int = 0, device: Any = None) -> Any:
        """The tokens ``start`` to ``start + n - 1`` of a stream; a tree begins at multiples of its length.

        Parameters
        ----------
        start, n, stream : int
            ``start`` and ``stream`` at least 0, ``n`` at least 1.
        device : torch device, optional
            Where torch makes them; without it NumPy does.

        Returns
        -------
        array of uint8, shape (n,)

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        require_count(n=n)
        require_count(start=start, stream=stream, least=0)
        if start + n >= 2**60:
            raise ValueError(f"start + n must stay below 2 ** 60; got {start + n}")
        first, end = start // self.tree_length, -(-(start + n) // self.tree_length)
        levels = self._levels if device is None else [level.to(device) for level in self._levels]
        trees_at_once = max(1, _AT_ONCE * self.branching // self.tree_length)
        xp = array_api_compat.array_namespace(levels[0].rules)
        parts = []
        for part in range(first, end, trees_at_once) if device is None else [first]:
            last = min(end, part + trees_at_once) if device is None else end
            symbols: Any = None
            for below, level in enumerate(levels):
                nodes = self.branching**below
                ids = xp.arange(part * nodes, last * nodes, dtype=xp.int64, device=device)
                symbols = level.write(symbols, _random_bits(ids, stream=stream, level=below))
            parts.append(symbols)
        text = parts[0] if len(parts) == 1 else xp.concat(parts)
        offset = start - first * self.tree_length
        return text[offset : offset + n]

    def optimal_losses(self, tokens: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Loss of the best of all predictors, which knows the rules, for each token of whole trees.

        Parameters
        ----------
        tokens : array of whole numbers, shape (n,)
            ``n`` a multiple of `tree_length`, from the start of a tree.

        Returns
        -------
        array, shape (n,), in nats
            Minus the logarithm of the token's probability given all tokens before it. Its mean over the
            language is `entropy_rate`.

        Raises
        ------
        ValueError
            If the length is not one of whole trees, or the tokens are not of this language.
        """
        text = np.asarray(tokens)
        if text.ndim != 1 or not len(text) or len(text) % self.tree_length:
            raise ValueError(
                f"tokens must be whole trees of {self.tree_length} tokens on one axis; got shape {text.shape}"
            )
        if text.dtype.kind not in "iu" or text.min() < 0 or text.max() >= self.vocab_size:
            raise ValueError(f"tokens must be whole numbers from 0 to {self.vocab_size - 1}")
        root = self._levels[0]
        if self.depth == 1:
            return root.losses(text.reshape(-1, self.branching).astype(np.int64)).reshape(-1)
        losses: list[float] = []
        for tree in text.reshape(-1, self.tree_length):
            self._read(0, np.ones(1), iter(tree.tolist()), losses)
        return np.array(losses)

    def _read(self, below: int, prior: NDArray[np.float64], tokens: Any, losses: list[float]) -> int:
        """Read one node of the level, whose symbol has the given prior; return its symbol.

        Rules stand in the order of what they write, so that those that fit the symbols read so far are
        neighbours, and sums over them are differences of one cumulative sum.
        """
        if below == self.depth:
            token = next(tokens)
            if prior[token] <= 0:
                raise ValueError("tokens must be of this language; a tree has no rules that write it")
            losses.append(-float(np.log(prior[token])))
            return int(token)
        level = self._levels[below]
        weight = np.concatenate([[0.0], np.cumsum((prior[:, None] * level.probability).ravel()[level.order])])
        code, unit = 0, self.vocab_size**self.branching
        for _ in range(self.branching):
            unit //= self.vocab_size
            edges = np.searchsorted(level.codes, code + unit * np.arange(self.vocab_size + 1))
            each = np.maximum(np.diff(weight[edges]), 0.0)
            code += unit * self._read(below + 1, each / each.sum(), tokens, losses)
        rule = level.order[np.searchsorted(level.codes, code)]
        return int(rule // len(level.probability))

    @cached_property
    def _levels(self) -> list[_Level]:
        return [
            _Level.make(self, n_symbol=1 if below == 0 else self.vocab_size, below=below)
            for below in range(self.depth)
        ]


@dataclass(frozen=True)
class _Level:
    """The rules of one level: what each writes, and the table to draw them from.

    ``rules``: (n_symbol * m, branching), the ``m`` rules of a symbol together, by rank. ``threshold``,
    ``alias``: (m,), Walker's table. ``probability``: (m,), exactly what drawing from the table gives.
    ``order``, ``codes``: the rules sorted by what they write, and that as a number in base ``vocab_size``.
    """

    rules: Any
    threshold: Any
    alias: Any
    probability: NDArray[np.float64]
    order: NDArray[np.int64]
    codes: NDArray[np.int64]
    vocab_size: int

    @classmethod
    def make(cls, language: SyntheticLanguage, *, n_symbol: int, below: int) -> _Level:
        v, s, n_rule = language.vocab_size, language.branching, language.n_rule
        generator = np.random.default_rng([_SEED, language.seed, below])
        codes = generator.choice(v**s, size=n_rule, replace=False, shuffle=True)
        rules = (codes[:, None] // v ** np.arange(s - 1, -1, -1) % v).astype(np.uint8)
        m = n_rule // n_symbol
        threshold, alias = _alias_table(np.arange(1, m + 1) ** -(1.0 + language.exponent))
        parts = np.bincount(alias, weights=_LIMIT - threshold, minlength=m) + threshold
        order = np.argsort(codes)
        return cls(rules, threshold, alias, parts / (m * _LIMIT), order, codes[order], v)

    def to(self, device: Any) -> _Level:
        """The same with the tables that drawing needs as tensors on a device."""
        import torch

        rules, threshold, alias = (
            torch.as_tensor(table, device=device) for table in (self.rules, self.threshold, self.alias)
        )
        return replace(self, rules=rules, threshold=threshold, alias=alias)

    def write(self, symbols: Any, bits: Any) -> Any:
        """What the rules drawn by random ``bits`` (n,) for ``symbols`` (n,) write: (n * branching,)."""
        m = len(self.probability)
        column = (bits >> 32) & (m - 1)
        rank = _where(bits & (_LIMIT - 1) < self.threshold[column], column, self.alias[column])
        if symbols is not None:
            rank = rank + m * _as_index(symbols, like=rank)
        return self.rules[rank].reshape(-1)

    def losses(self, words: NDArray[np.int64]) -> NDArray[np.float64]:
        """Optimal losses of the tokens of words, (n, branching), where the level has one symbol."""
        weight = np.concatenate([[0.0], np.cumsum(self.probability[self.order])])
        code, unit = np.zeros(len(words), dtype=np.int64), self.vocab_size ** words.shape[1]
        logs = [np.zeros(len(words))]
        for column in words.T:
            unit //= self.vocab_size
            code = code + unit * column
            low, high = np.searchsorted(self.codes, code), np.searchsorted(self.codes, code + unit)
            if (low == high).any():
                raise ValueError("tokens must be of this language; a tree has no rules that write it")
            logs.append(np.log(weight[high] - weight[low]))
        return -np.diff(np.array(logs), axis=0).T


def _random_bits(ids: Any, *, stream: int, level: int) -> Any:
    """64 random bits for each node: SplitMix64 of its number (Steele, Lea and Flood 2014, figure 17)."""
    key = int.from_bytes(np.random.SeedSequence([stream, level]).generate_state(2).tobytes(), "little")
    z = ids * _signed(0x9E3779B97F4A7C15) + _signed(key)
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _signed(0xBF58476D1CE4E5B9)  # the mask: no copies of the sign
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _signed(0x94D049BB133111EB)
    return z ^ ((z >> 31) & (2**33 - 1))


def _signed(value: int) -> int:
    """The same 64 bits as a signed number: torch multiplies no unsigned ones."""
    return value - 2**64 if value >= 2**63 else value


def _where(condition: Any, one: Any, other: Any) -> Any:
    return array_api_compat.array_namespace(one).where(condition, one, other)


def _as_index(symbols: Any, *, like: Any) -> Any:
    return array_api_compat.array_namespace(symbols).astype(symbols, like.dtype)


def _alias_table(weight: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Walker's table: column ``i`` gives ``i`` below ``threshold[i]`` of `_LIMIT`, else ``alias[i]``.

    Source: Walker 1977; built as Vose 1991 does, the rich giving to the poor.
    """
    m = len(weight)
    share = weight / weight.sum() * m
    alias = np.arange(m)
    poor = [int(i) for i in np.flatnonzero(share < 1)]
    rich = [int(i) for i in np.flatnonzero(share >= 1)]
    while poor and rich:
        i, j = poor.pop(), rich[-1]
        alias[i] = j
        share[j] -= 1 - share[i]
        if share[j] < 1:
            poor.append(rich.pop())
    share[poor + rich] = 1.0  # what rounding has left over
    return np.rint(share * _LIMIT).astype(np.int64), alias


def _entropy(probability: NDArray[np.float64]) -> float:
    """In nats; a rank that is never drawn has none."""
    drawn = probability[probability > 0]
    return -float((drawn * np.log(drawn)).sum())
