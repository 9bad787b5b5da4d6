"""Certificates for a server that believes itself to be Yahoo, made at its start."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

FIRST_DAY = dt.datetime(2010, 1, 1, tzinfo=dt.UTC)


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Make a CA, and a leaf for Yahoo's hosts signed by it (a self-signed leaf is refused).

    Returns:
        The files of the CA bundle, and of the leaf with its key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        # A client's clock may be set back as far as the made market goes.
        today = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("Yahoo test CA"))
        )
        certificate = certificate.not_valid_before(FIRST_DAY).not_valid_after(
            today + dt.timedelta(days=30)
        )
        return certificate.public_key(key.public_key()).serial_number(x509.random_serial_number())

    ca_key, leaf_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    ca = (
        builder("Yahoo test CA", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    hosts = [x509.DNSName(host) for host in ("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com")]
    leaf = (
        builder("Yahoo test leaf", leaf_key)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(ca_key, hashes.SHA256())
    )

    pem = serialization.Encoding.PEM
    folder.mkdir(parents=True, exist_ok=True)
    bundle, leaf_path = folder / "yahoo-test-ca.pem", folder / "yahoo-test-leaf.pem"
    bundle.write_bytes(ca.public_bytes(pem))
    key = leaf_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    leaf_path.write_bytes(key + leaf.public_bytes(pem))
    return bundle, leaf_path
