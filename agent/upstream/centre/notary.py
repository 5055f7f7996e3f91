"""Who signs the archive's acknowledgements, and which of them no room would take: by their date, or by their certificate. Pure."""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import encoded, sign
from recorder.record.acknowledgement import Acknowledgement
from recorder.record.enclosed_signature import EARLY_US

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class NotaryError(Exception):
    """What would be signed now no room would ever take: to be tried again when the clock is right, or the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notary:
    """The key, its certificate (with documentSigning), and the name that stands in acknowledgements."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    by: str

    def check(self, now_us: int) -> None:
        """See to it that the certificate is valid at this time of the centre's clock.

        Raises:
            NotaryError: it is not.
        """
        if not self._is_valid(now_us):
            since, until = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
            raise NotaryError(
                f"the centre's clock says {_EPOCH + dt.timedelta(microseconds=now_us):%Y-%m-%d %H:%M} UTC, and its certificate for "
                f"acknowledgements is valid from {since:%Y-%m-%d} to {until:%Y-%m-%d}: set the clock right, or renew the certificate"
            )

    def signed(self, bare: Acknowledgement) -> Acknowledgement:
        """The acknowledgement with signature and certificate.

        Raises:
            NotaryError: the certificate is not valid at its date.
        """
        self.check(bare.utc_us)
        return sign(bare, self.key, self.certificate)

    def stands_by(self, ack: Acknowledgement, now_us: int) -> bool:
        """Whether one that was given before can still be given: by this certificate, while it was valid, and not from the future."""
        return ack.certificate == encoded(self.certificate) and self._is_valid(ack.utc_us) and ack.utc_us <= now_us + EARLY_US

    def _is_valid(self, utc_us: int) -> bool:
        at = _EPOCH + dt.timedelta(microseconds=utc_us)
        return self.certificate.not_valid_before_utc <= at <= self.certificate.not_valid_after_utc
