"""An authority that vouches for persons, and their keys, as openssl makes them: what a national certification centre and NCALayer do."""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PURPOSES = "extendedKeyUsage=clientAuth,1.2.398.3.3.4.1.1"
"""Of a natural person's key for authentication."""


@dataclass(frozen=True, slots=True)
class Key:
    """Somebody's, with the certificate that belongs to it."""

    key: Path
    certificate: Path
    authority: Path

    def sign(self, text: bytes, *, detached: bool = True) -> str:
        """A CMS signature in base64."""
        whole = () if detached else ("-nodetach",)
        files = ("-signer", self.certificate, "-inkey", self.key, "-certfile", self.authority)
        return base64.b64encode(
            _openssl("cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", *whole, *files, given=text)
        ).decode()


class Persons:
    """The authority.

    Args:
        home: an empty directory for its files.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self._home = home
        self.roots = home / "roots.pem"
        """Its own certificate."""
        self._key = home / "roots.key"
        usage = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        new = ("-newkey", "rsa:2048", "-noenc", "-keyout", self._key, "-out", self.roots)
        _openssl("req", "-x509", *new, "-days", "30", "-subj", "/C=KZ/CN=Test persons", *usage)

    def issue(
        self,
        name: str,
        iin: str,
        *,
        usage: str = "digitalSignature,keyEncipherment",
        curve: bool = False,
        by: Key | None = None,
    ) -> Key:
        """A key for somebody with this identification number; ``by`` issues it, who is no authority, instead of this one."""
        issuer = Key(self._key, self.roots, self.roots) if by is None else by
        base = self._home / f"{len(list(self._home.iterdir()))}"
        key, request, certificate, extensions = (base.with_suffix(ending) for ending in (".key", ".csr", ".pem", ".ext"))
        kind = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256") if curve else ("rsa:2048",)
        subject = f"/CN={name}/serialNumber=IIN{iin}/C=KZ"
        _openssl("req", "-new", "-utf8", "-newkey", *kind, "-noenc", "-keyout", key, "-out", request, "-subj", subject)
        extensions.write_text(f"keyUsage=critical,{usage}\n{_PURPOSES}\nbasicConstraints=CA:FALSE\n", encoding="ascii")
        issued = ("-CA", issuer.certificate, "-CAkey", issuer.key, "-CAcreateserial", "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, "-out", certificate, "-days", "30", *issued)
        return Key(key, certificate, issuer.certificate)


def _openssl(*words: str | Path, given: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
