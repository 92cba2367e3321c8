"""Published networks between devices, and the clusters that they make, read from tables of ``data/``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows
from scaling_transformers.accounting.accelerators import Accelerator, accelerator


@dataclass(frozen=True)
class Network:
    """What joins devices: how many bytes a device can send, and how long the first one takes.

    Attributes
    ----------
    name : str
    what : str
        In words, what has the ``bandwidth``.
    bandwidth : float
        Bytes/s that one device sends, one way; it receives as many meanwhile.
    latency : float
        Seconds of one step of a ring, however few bytes it moves.
    source : str
        The document of each of the two.
    """

    name: str
    what: str
    bandwidth: float
    latency: float
    source: str


@dataclass(frozen=True)
class Cluster:
    """Devices in nodes: a fast network within each node, a slower one between them.

    Attributes
    ----------
    name : str
    accelerator : Accelerator
    devices_a_node : int
        Of a TPU pod, whose chips are all neighbours, those of the pod.
    within, between : Network
    source : str
    """

    name: str
    accelerator: Accelerator
    devices_a_node: int
    within: Network
    between: Network
    source: str = ""

    def __post_init__(self) -> None:
        count = self.devices_a_node
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"devices_a_node must be a whole number of at least 1; got {count!r}")


def network(name: str) -> Network:
    """The network of that name, in capitals or not.

    Parameters
    ----------
    name : str
        One of the column ``name`` of ``data/networks.csv``: ``"NVLink 4"``, ``"RoCE 400"``, ...

    Raises
    ------
    ValueError
        If none has that name; the message lists the nearest ones, or all where none is near.

    Examples
    --------
    >>> network("NVLink 4").bandwidth / network("RoCE 400").bandwidth
    9.0

    Source: the column ``source`` of ``data/networks.csv``, row by row.
    """
    for known in networks():
        if isinstance(name, str) and known.name.lower() == name.lower():
            return known
    raise unknown_name(name, [known.name for known in networks()], what="a network")


@cache
def networks() -> tuple[Network, ...]:
    """All networks of the table, in its order.

    Examples
    --------
    >>> max(networks(), key=lambda known: known.bandwidth).name
    'NVLink 4'
    """
    return tuple(
        Network(row["name"], row["what"], float(row["bandwidth"]), float(row["latency"]), row["source"])
        for row in read_rows("networks.csv")
    )


def cluster(name: str) -> Cluster:
    """The cluster of that name, in capitals or not: those on which published models were trained.

    Parameters
    ----------
    name : str
        One of the column ``name`` of ``data/clusters.csv``: ``"Selene"``, ``"Llama 3 production"``, ...

    Raises
    ------
    ValueError
        If none has that name; the message lists the nearest ones, or all where none is near.

    Examples
    --------
    >>> cluster("Selene").between.name
    'InfiniBand HDR'

    Source: the column ``source`` of ``data/clusters.csv``, row by row.
    """
    for known in clusters():
        if isinstance(name, str) and known.name.lower() == name.lower():
            return known
    raise unknown_name(name, [known.name for known in clusters()], what="a cluster")


@cache
def clusters() -> tuple[Cluster, ...]:
    """All clusters of the table, in its order.

    Examples
    --------
    >>> {known.accelerator.name for known in clusters() if known.devices_a_node > 8}
    {'TPU v4'}
    """
    return tuple(
        Cluster(
            row["name"],
            accelerator(row["accelerator"]),
            int(row["devices_a_node"]),
            network(row["within"]),
            network(row["between"]),
            row["source"],
        )
        for row in read_rows("clusters.csv")
    )
