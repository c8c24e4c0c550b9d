"""Keys for stored texts come from a file or the environment, and a bad one is refused."""

import base64

import pytest

from monitor.sealing import BrokenSealError, ContentKey, ContentKeyError, Keyring, NoKeyError

SECRET = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "content.keys"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def test_the_last_key_for_a_tenant_encrypts(file):
    text = "".join(
        f'[[keys]]\nid = "{name}"\nkey = "{SECRET}"\n{more}\n'
        for name, more in (("a", ""), ("b", 'tenant = "acme"'), ("c", ""))
    )
    keys = Keyring.read(file(text), {})
    assert (keys.current("acme"), keys.current(""), keys.current("other")) == ("b", "c", "c")
    assert all(name in keys for name in "abc")


def test_a_key_can_stand_in_the_environment(file):
    keys = Keyring.read(None, {"SUBTEXT_CONTENT_KEY": SECRET})
    named = keys.current("")
    assert len(named) == 8
    same = file(f'[[keys]]\nkey = "{SECRET}"')
    assert Keyring.read(None, {"SUBTEXT_CONTENT_KEYS": str(same)}).current("") == named
    assert not Keyring.read(None, {})


BAD = {
    "short": ('[[keys]]\nkey = "c2hvcnQ="', "32 bytes"),
    "no base64": (f'[[keys]]\nkey = "{SECRET[:-4]}&&&&"', "32 bytes"),
    "no key": ('[[keys]]\nid = "a"', "it has a `key`"),
    "unknown word": (f'[[keys]]\nkey = "{SECRET}"\ntennant = "a"', "it has a `key`"),
    "a number": (f'[[keys]]\nkey = "{SECRET}"\nid = 7', "is a text"),
    "twice the same id": (f'[[keys]]\nkey = "{SECRET}"\n' * 2, "same id"),
    "no keys": ("", "must hold"),
    "more than keys": (f'x = 1\n[[keys]]\nkey = "{SECRET}"', "must hold"),
    "no TOML": ("[[", "no TOML"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_file_that_is_none_is_refused_without_showing_keys(file, text, words):
    with pytest.raises(ContentKeyError, match=words) as caught:
        Keyring.read(file(text), {})
    assert SECRET[:8] not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(file):
    with pytest.raises(ContentKeyError, match="chmod 600"):
        Keyring.read(file(f'[[keys]]\nkey = "{SECRET}"', mode=0o640), {})
    with pytest.raises(ContentKeyError, match="No such file"):
        Keyring.read(file("").with_name("other"), {})


def test_a_text_opens_only_where_it_was_put():
    keys = Keyring([ContentKey(key_id="k", secret=bytes(32))])
    sealed = keys.seal(b"text", tenant="t", place="here")
    assert keys.open("k", sealed.data, tenant="t", place="here") == b"text"
    for place, tenant in (("there", "t"), ("here", "other")):
        with pytest.raises(BrokenSealError):
            keys.open("k", sealed.data, tenant=tenant, place=place)
    with pytest.raises(NoKeyError, match="key k"):
        Keyring().open("k", sealed.data, tenant="t", place="here")
    assert "secret" not in repr(ContentKey(key_id="k", secret=b"secret"))
