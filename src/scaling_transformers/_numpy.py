"""NumPy, or where it is not installed the few of its functions that counts and laws of single numbers use.

A browser that runs the reader's own code has Python and this package, and no more: with what stands here the
counts of one config and the laws of single numbers work there. Where NumPy is installed, it is all that is
used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    HAS_NUMPY: bool
else:
    try:
        import numpy as np
        from numpy.typing import ArrayLike, NDArray
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        HAS_NUMPY, ArrayLike, NDArray = False, Any, Any
    else:
        HAS_NUMPY = True

__all__ = ["HAS_NUMPY", "ArrayLike", "NDArray", "np"]


class Numbers:
    """What NumPy's functions of the same names do with single numbers; the others ask for NumPy."""

    int64, float64 = int, float

    class ndarray:
        """No value is one."""

    any = staticmethod(bool)
    cbrt, exp, expm1, log = math.cbrt, math.exp, math.expm1, math.log
    maximum, minimum = staticmethod(max), staticmethod(min)

    @staticmethod
    def ndim(value: Any) -> int:
        """0: nothing else can be told to be an array."""
        return 0

    def __getattr__(self, name: str) -> Any:
        raise ModuleNotFoundError(f"arrays need NumPy, which is not here (asked for np.{name})", name="numpy")


if not TYPE_CHECKING and not HAS_NUMPY:
    np = Numbers()
