"""RTSP in TLS (``rtsps://``): the device's certificate is vouched for and names its address, or else its password goes nowhere."""

import errno
from urllib.parse import urlsplit

import av

from drivers.capabilities import SourceLostError
from drivers.microphones.decoded import lost


def tls_options(url: str, ca_file: str) -> dict[str, str]:
    """FFmpeg's options for the address: it verifies nothing unless told to (ffmpeg-protocols, "tls"). None where it is not in TLS.

    The file is always named: without one FFmpeg's libraries take one of their own, which Debian does not have.
    """
    if not _in_tls(url):
        return {}
    return {"tls_verify": "1", "ca_file": ca_file}


def refused(url: str, address: str, ca_file: str, error: av.FFmpegError) -> SourceLostError:
    """Why a stream could not be opened. A certificate that is refused comes from FFmpeg as a bare I/O error."""
    told = lost(address, error)
    if not _in_tls(url) or error.errno != errno.EIO:
        return told
    why = f"is by an authority that ca_file ({ca_file}) does not hold, is of another name than the address, or has expired"
    return SourceLostError(told.cause, f"{told.detail}; it may be that the device's certificate {why}")


def _in_tls(url: str) -> bool:
    return urlsplit(url).scheme == "rtsps"
