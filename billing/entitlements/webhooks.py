"""Outgoing webhooks: signed as Standard Webhooks has it, and never to an address of the inside.

A name is resolved once, every address it has is judged, and the call goes to one of those: it cannot turn into another
address between the check and the call. Redirects are not followed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

TIMEOUT = 10  # seconds
READ_UP_TO = 1000  # bytes of an answer


class UnableToPost(Exception):
    """The call was not made, or was not answered with success; the message says what came."""


def signed_headers(id: str, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """The headers by which a receiver knows who sent it, and that it is fresh."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def post(url: str, body: bytes, headers: Mapping[str, str], *, may_call_inside: bool = False) -> str:
    """Post JSON; what was answered, in a line. Raises UnableToPost."""
    parts = urlsplit(url)
    try:
        connection = _connection(parts, may_call_inside)
    except (OSError, ValueError) as error:
        raise UnableToPost(f"{parts.hostname}: {error}") from error
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read(READ_UP_TO).decode(errors="replace").strip().partition("\n")[0]
    except (OSError, http.client.HTTPException) as error:
        raise UnableToPost(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    said = f"{answer.status} {answer.reason}" + (f": {text}" if text else "")
    if not 200 <= answer.status < 300:
        raise UnableToPost(said)
    return said


def _connection(parts: SplitResult, may_call_inside: bool) -> http.client.HTTPConnection:
    """A connection to one of the addresses of the name. Raises OSError, ValueError."""
    host = parts.hostname or ""
    if parts.scheme != "https" and not (may_call_inside and parts.scheme == "http"):
        raise ValueError("only https is called")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    inside = [address for address in found if not is_outside(address)]
    if inside and not may_call_inside:
        raise ValueError(f"{inside[0]} is an address of the inside, which is never called")
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    plain = socket.create_connection((found[0], port), timeout=TIMEOUT)
    if parts.scheme == "https":
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    else:
        connection.sock = plain
    return connection


def is_outside(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped or ip.sixtofour if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_global and not ip.is_multicast
