"""The token in an `Authorization` header."""


def bearer(authorization: str | None) -> str:
    """The token of the scheme `Bearer`, in capitals or not (RFC 9110, section 11.1); "" where there is none.

    Args:
        authorization: the header; None where it was not sent.
    """
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
