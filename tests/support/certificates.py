"""Certificates of an authority that nobody trusts who is not told to."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """The files of a server's certificate and its key."""

    certificate: Path
    key: Path

    def as_nats_config(self) -> str:
        return f'tls {{ cert_file: "{self.certificate}", key_file: "{self.key}" }}\n'


class Authority:
    """Its own certificate is `ca.pem` in the folder; one of an earlier authority there is gone on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key_file = folder / "ca.key"
        if self._key_file.exists():
            self._key = _read_key(self._key_file)
            self._certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        else:
            self._found()

    def issue(self, *hosts: str) -> Issued:
        """A certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_name(host) for host in hosts])
        builder = _builder(hosts[0], key).issuer_name(self._certificate.subject).add_extension(names, critical=False)
        issued = Issued(self._folder / f"{hosts[0]}.pem", self._folder / f"{hosts[0]}.key")
        _write(builder.sign(self._key, hashes.SHA256()), key, issued)
        return issued

    def _found(self) -> Self:
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("test authority", self._key).issuer_name(_subject("test authority"))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        _write(self._certificate, self._key, Issued(self._folder / "ca.pem", self._key_file))
        return self


def _builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _write(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, files: Issued) -> None:
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption())
    files.key.write_bytes(secret)
