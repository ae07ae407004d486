"""Texts for a refused server certificate: the reason, and the remedy."""

import ssl
from typing import Final

_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's X509_V_ERR_ codes: it is self-signed, or its signer is not trusted here."""
_REMEDY: Final = "; put the certificate of its CA into a file, and name the file in SSL_CERT_FILE"


def untrusted(error: BaseException | None) -> str | None:
    """The reason why a server's certificate was refused, and the remedy; None if the error has another cause.

    Args:
        error: of the client library, which may have wrapped what the TLS library said.
    """
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    remedy = _REMEDY if error.verify_code in _UNKNOWN_ISSUER else ""
    return f"its certificate is not trusted: {error.verify_message}{remedy}"
