"""The tree is the one of RFC 6962, however it is built."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.coverage import _Tree
from monitor.merkle import EMPTY, Frontier, leaf_of

#: Roots over the inputs of the RFC 6962 reference implementation, for sizes 0 to 8.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaf(data):
    return hashlib.sha256(b"\x00" + data).digest()


def naive(leaves):
    """RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def hashes(count, mark=""):
    return [hashlib.sha256(f"{mark}{n}".encode()).hexdigest() for n in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_the_roots_are_those_of_the_rfc(size):
    leaves = [leaf(data) for data in INPUTS[:size]]
    assert naive(leaves).hex() == ROOTS[size]
    assert Frontier().grown(leaves).root.hex() == ROOTS[size]


def test_a_leaf_is_the_raw_hash_of_a_record():
    text = hashes(1)[0]
    assert leaf_of(text) == leaf(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["", "0" * 62, "0" * 66, "A" * 64, "g" * 64, " " + "0" * 64])
def test_what_is_no_hash_is_no_leaf(text):
    with pytest.raises(ValueError, match="hex"):
        leaf_of(text)


@given(st.lists(st.integers(0, 300), max_size=4))
def test_the_frontier_is_the_tree_however_it_grew(pieces):
    leaves = [leaf_of(text) for text in hashes(sum(pieces))]
    frontier, rest = Frontier(), list(leaves)
    for piece in pieces:
        frontier, rest = frontier.grown(rest[:piece]), rest[piece:]
        seen = leaves[: len(leaves) - len(rest)]
        assert (frontier.size, frontier.root) == (len(seen), naive(seen))
        assert len(frontier.peaks) == frontier.size.bit_count()


def test_verifier_and_signer_build_the_same_tree_at_every_size():
    tree, frontier = _Tree(), Frontier()
    assert frontier.root == EMPTY
    for text in hashes(300):
        tree.add(text)
        frontier = frontier.grown([leaf_of(text)])
        assert tree.root() == frontier.root
