"""The runs behind the Chinchilla law, as read off its published figure: fetched once, checked, then kept."""

from __future__ import annotations

import csv
from hashlib import sha256
from os import PathLike
from pathlib import Path

from scaling_transformers._numpy import np
from scaling_transformers.scaling._solver import Array

ADDRESS = (
    "https://raw.githubusercontent.com/epoch-research/analyzing-chinchilla/"
    "92258837425e1b5f2851d624287f0120583a3d0e/data/svg_extracted_data.csv"
)
CHECKSUM = "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30"  # of the file with line ends \n


def load_chinchilla_points(*, path: str | PathLike[str] | None = None) -> Array:
    """The 245 runs of Hoffmann et al. 2022, figure 4, as Besiroglu et al. 2024 read them off the drawing.

    The first call downloads their file, about 23 kB, and keeps it among the user's cached files. The loss was
    read off the colour of each point: it is exact to about 0.01.

    Parameters
    ----------
    path : path, optional
        Of a copy of their file that is already there, for a machine without a network.

    Returns
    -------
    ndarray, shape (245,)
        With the fields ``n_params``, ``n_tokens`` (= ``flops / (6 n_params)``), ``flops`` and ``loss`` (nats
        a token), in the order of the file. Besiroglu et al. leave the 5 runs of highest loss out of their
        fit: ``points[np.argsort(points["loss"])[:-5]]``.

    Raises
    ------
    OSError
        If the file cannot be downloaded or read.
    ValueError
        If it is not the published one, byte for byte but for the line ends.

    Source: github.com/epoch-research/analyzing-chinchilla, data/svg_extracted_data.csv.
    """
    content = (_downloaded() if path is None else Path(path)).read_bytes().replace(b"\r\n", b"\n")
    found = sha256(content).hexdigest()
    if found != CHECKSUM:
        raise ValueError(
            f"path must be the file of {ADDRESS}, of SHA-256 {CHECKSUM}; got another, of {found}"
        )
    rows = csv.DictReader(content.decode("utf-8").splitlines())
    n, c, loss = np.array(
        [[float(row[name]) for name in ("Model Size", "Training FLOP", "loss")] for row in rows]
    ).T
    points = np.empty(n.size, dtype=[(name, float) for name in ("n_params", "n_tokens", "flops", "loss")])
    points["n_params"], points["n_tokens"], points["flops"], points["loss"] = n, c / (6 * n), c, loss
    return points


def _downloaded() -> Path:
    """Where the published file lies on this machine, fetched if it is not there or is another."""
    import pooch

    try:
        return Path(
            pooch.retrieve(
                ADDRESS,
                known_hash=f"sha256:{CHECKSUM}",
                fname="chinchilla_points.csv",
                path=pooch.os_cache("scaling-transformers"),
            )
        )
    except OSError as error:
        raise OSError(
            f"{ADDRESS} could not be downloaded: {error}; save it on another machine and give its path"
        ) from error
