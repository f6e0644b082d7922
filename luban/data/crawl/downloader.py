"""Scrapy's download handler with a bound on what a server may say before its body begins.

Twisted bounds a header line, not their number: endless headers would fill the memory until the time is up.
"""

from __future__ import annotations

from typing import Any

from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
)
from twisted.web._newclient import HEADER, STATUS

MAX_HEAD_BYTES = 1 << 20
IDLE_SECONDS = 15


class BoundedProtocol(_LenientHTTP11ClientProtocol):
    """One connection; it is broken off when a status line and headers come to more than the bound."""

    _head_bytes = 0

    def request(self, request: Any) -> Any:
        """Send a request, and count its answer's head from nothing."""
        self._head_bytes = 0
        return super().request(request)

    def dataReceived(self, data: bytes) -> None:
        """Take what the server sends."""
        if self._parser is not None and self._parser.state in (STATUS, HEADER):
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and self.transport is not None:
                self.transport.abortConnection()
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class BoundedFactory(_LenientHTTP11ClientFactory):
    """Makes the connections of the pool."""

    def buildProtocol(self, addr: Any) -> BoundedProtocol:
        """Return the protocol of a new connection."""
        return BoundedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]


class BoundedDownloadHandler(HTTP11DownloadHandler):
    """The handler for http and https."""

    def __init__(self, crawler: Any):
        super().__init__(crawler)
        self._pool._factory = BoundedFactory
        self._pool.cachedConnectionTimeout = IDLE_SECONDS  # many hosts must not use up the file handles
