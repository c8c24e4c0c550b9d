"""A checkpoint is what C2SP says it is, and nothing else passes for one."""

import base64
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from monitor.checkpoint import (
    Checkpoint,
    CheckpointError,
    Note,
    Signature,
    VerifierKey,
    parse,
    verify,
)
from monitor.signing import KeyFileError, SigningKey

#: The example of the specification.
EXAMPLE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
WITNESSED = EXAMPLE + (
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
#: The example of the Go implementation of notes: somebody else's key, text and signature.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SAYING = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SAID = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)

KEY = SigningKey(private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SigningKey(private=Ed25519PrivateKey.from_private_bytes(bytes(32)))
CHECKPOINT = Checkpoint(origin="subtext-log/a", size=7, root=bytes(range(32)))
SIGNED = KEY.sign(CHECKPOINT)


def test_the_example_of_the_specification_is_read():
    note = parse(EXAMPLE)
    assert note.checkpoint.origin == "example.com/behind-the-sofa"
    assert note.checkpoint.size == 20852163
    assert base64.b64encode(note.checkpoint.root) == b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert note.checkpoint.text == note.text == EXAMPLE.rpartition("\n\n")[0] + "\n"
    assert [s.key_id.hex() for s in note.signatures] == ["033de0ae"]


def test_signatures_of_witnesses_are_read_beside_it():
    names = [s.name for s in parse(WITNESSED).signatures]
    assert names == ["example.com/behind-the-sofa", "witness.example.com/w1"]


def test_a_key_and_signature_of_another_implementation_verify():
    key = VerifierKey.parse(NEUMANN)
    assert str(key) == NEUMANN
    raw = base64.b64decode(SAID)
    signature = Signature(name=key.name, key_id=raw[:4], value=raw[4:])
    assert key.signed(Note(checkpoint=CHECKPOINT, text=SAYING, signatures=(signature,)))


def test_the_format_is_what_existing_checkpoints_are_written_in():
    assert KEY.verifier.name == "subtext-key/56475aa75463474c"
    assert (
        "subtext-log/a\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
        f"— {KEY.verifier.name} {SIGNED.split()[-1]}\n"
    ) == SIGNED
    raw = base64.b64decode(SIGNED.split()[-1])
    assert len(raw) == 4 + 64
    assert raw[:4] == KEY.verifier.key_id


def test_what_was_signed_verifies_and_names_its_key():
    note = parse(SIGNED)
    assert note.checkpoint == CHECKPOINT
    assert verify(note, [OTHER.verifier, KEY.verifier]) == KEY.verifier


def test_a_signature_of_an_unknown_key_beside_ours_does_no_harm():
    both = SIGNED + OTHER.sign(CHECKPOINT).rpartition("\n\n")[2]
    assert verify(parse(both), [KEY.verifier]) == KEY.verifier
    assert verify(parse(both), [OTHER.verifier]) == OTHER.verifier


def test_another_key_is_told_apart_from_a_forgery():
    with pytest.raises(
        CheckpointError, match="none of the given keys, but by " + KEY.verifier.name
    ):
        verify(parse(SIGNED), [OTHER.verifier])
    forged = SIGNED.replace("\n7\n", "\n8\n")
    with pytest.raises(CheckpointError, match="forged"):
        verify(parse(forged), [KEY.verifier])


def test_every_changed_bit_is_found():
    raw = SIGNED.encode()
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            text = changed.decode("utf-8", "surrogateescape")
            with pytest.raises(CheckpointError):
                verify(parse(text), [KEY.verifier])


@pytest.mark.parametrize("left", range(0, len(SIGNED), 7))
def test_a_checkpoint_that_was_cut_off_is_found(left):
    with pytest.raises(CheckpointError):
        verify(parse(SIGNED[:left]), [KEY.verifier])


ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"o\n7\n{ROOT}\n",
        f"\n7\n{ROOT}\n",
        f"o\n07\n{ROOT}\n",
        f"o\n+7\n{ROOT}\n",
        f"o\n٧\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        "o\n7\n\n",
        f"o\n7\n{ROOT[:-1]}\n",
        "o\n7\nAAAA\n",
        f"o\n7\n{ROOT[:-2]}9=\n",
        f"o\n7\n{ROOT}\n\nx\n",
        f"o\r\n7\n{ROOT}\n",
        f"o\x00\n7\n{ROOT}\n",
        f"o\n7\n{ROOT}\n{'x' * (1 << 16)}\n",
    ],
    ids=range(16),
)
@pytest.mark.parametrize("signature", ["", "\n— a AAAAAAA=\n"])
def test_what_is_no_checkpoint_is_refused(text, signature):
    with pytest.raises(CheckpointError):
        parse(text + (signature if text != f"o\n7\n{ROOT}\n" else ""))


@pytest.mark.parametrize(
    "line", ["- a AAAAAAA=", "—  AAAAAAA=", "— a b AAAAAAA=", "— a+b AAAAAAA=", "— a AAAA", "— a !"]
)
def test_a_malformed_signature_line_is_refused(line):
    with pytest.raises(CheckpointError):
        parse(f"o\n7\n{ROOT}\n\n{line}\n")


def test_extension_lines_of_others_are_read_and_signed():
    text = f"o\n7\n{ROOT}\nextension\n"
    assert parse(f"{text}\n— a AAAAAAA=\n").text == text


@given(st.text())
def test_no_text_makes_the_parser_fail_otherwise(text):
    for candidate in (text, f"o\n7\n{ROOT}\n\n{text}", f"{text}\n\n— a AAAAAAA=\n"):
        try:
            parse(candidate)
        except CheckpointError:
            continue


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b+c", NEUMANN[:-4], NEUMANN.replace("c7", "c8"), "x" + NEUMANN, "+" + NEUMANN],
)
def test_a_verifier_key_that_was_copied_wrongly_is_refused(text):
    with pytest.raises(CheckpointError):
        VerifierKey.parse(text)


def test_a_verifier_key_reads_back():
    assert VerifierKey.parse(f" {KEY.verifier}\n") == KEY.verifier


def test_a_key_is_made_once_for_this_user_only(tmp_path):
    path = tmp_path / "log.key"
    key = SigningKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert SigningKey.load_or_create(path).verifier == key.verifier
    assert [p.name for p in tmp_path.iterdir()] == ["log.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o610])
def test_a_key_that_others_may_touch_is_refused(tmp_path, mode):
    path = tmp_path / "log.key"
    SigningKey.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        SigningKey.load_or_create(path)


@pytest.mark.parametrize("data", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_a_clear_error_and_is_kept(tmp_path, data):
    path = tmp_path / "log.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="PEM"):
        SigningKey.load_or_create(path)
    assert path.read_bytes() == data


def test_a_place_for_no_key_is_a_clear_error(tmp_path):
    with pytest.raises(KeyFileError, match="No such file"):
        SigningKey.load_or_create(tmp_path / "nowhere" / "log.key")
    with pytest.raises(KeyFileError, match="directory"):
        SigningKey.load_or_create(tmp_path)
