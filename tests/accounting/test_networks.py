"""What the tables of networks and clusters promise: each row sourced and plausible, each name found."""

import re
from dataclasses import replace

import pytest

from scaling_transformers.accounting import cluster, clusters, network, networks


@pytest.mark.parametrize("known", networks(), ids=lambda known: known.name)
def test_every_network_has_the_right_units_and_two_sources(known):
    """A slip of 8 (bits for bytes) at the slowest or the fastest, or of 1000 in the middle, falls out."""
    assert 5e9 < known.bandwidth < 1e12
    assert 5e-7 < known.latency < 1e-4
    assert len(known.source.split(";")) == 2


def test_ports_of_so_many_gigabits_send_an_eighth_of_it_in_bytes():
    for name, gigabits in (("InfiniBand HDR", 200), ("InfiniBand NDR", 400), ("RoCE 400", 400)):
        assert network(name).bandwidth == gigabits * 1e9 / 8
    assert network("Omni-Path 4 x 100").bandwidth == 4 * 100e9 / 8 / 8  # eight devices share four ports


@pytest.mark.parametrize("known", clusters(), ids=lambda known: known.name)
def test_a_node_is_faster_within_than_to_the_outside(known):
    assert known.within.bandwidth > known.between.bandwidth
    assert known.devices_a_node in (8, 3072)
    assert known.source


def test_capitals_do_not_matter_and_an_unknown_name_lists_the_near_ones():
    assert network("nvlink 4") is network("NVLink 4")
    assert cluster("selene") is cluster("Selene")
    with pytest.raises(ValueError, match=re.escape("name must be that of a network; got 'NVLink'; did you")):
        network("NVLink")
    with pytest.raises(ValueError, match="name must be that of a cluster; got 7; the names are"):
        cluster(7)


@pytest.mark.parametrize("count", [0, 2.0, True])
def test_a_node_has_a_whole_number_of_devices(count):
    with pytest.raises(ValueError, match="devices_a_node must be a whole number of at least 1"):
        replace(cluster("Selene"), devices_a_node=count)
