"""The ledger of receipts in NATS JetStream: ``Ledger`` of ``backend.py``.

1. What is stored of a receipt is what was said, and when. Its counter is its message's number: it rises over all fronts and has no holes.
   It is signed when it is read: ECDSA without chance (RFC 6979), so that every front gives the very same receipt, as often as it is asked.
2. A head is stored only where the last one of its record is the one that it was judged by: two fronts never countersign what contradicts.
3. That a head contradicts, or came before, is said by what the stream's leader has, never by what a front remembers.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NamedTuple

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import Contradiction, ContradictionError, now_utc_us
from agent.upstream.centre.decisions import Kept, page, verdict
from agent.upstream.centre.nats_jet import Jet, LookAgainError, Stored, attempts
from agent.upstream.centre.nats_names import Stream
from recorder.record.checkpoint import Receipt, receipt_text

Sign = Callable[[bytes], bytes]
"""Signs a receipt's text: ECDSA P-256 with SHA-256, DER; the same text gives the same signature."""
_HELD = 50_000
"""Records whose last head is remembered: those that are being recorded."""
_SLACK_US = 60 * 1_000_000


class _Message(msgspec.Struct):
    record: str
    room: str
    at: int
    head: str
    utc_us: int


_message = msgspec.json.Decoder(_Message)
_contradiction = msgspec.json.Decoder(Contradiction)


class _Last(NamedTuple):
    seq: int
    message: _Message | None

    @property
    def kept(self) -> Kept | None:
        return None if self.message is None else Kept(self.message.at, self.message.head, self.message.room)


class NatsLedger:
    """``Ledger``."""

    def __init__(self, jet: Jet, ledger: Stream, contradictions: Stream, sign: Sign, certificate_der: bytes) -> None:
        self._jet = jet
        self._ledger = ledger
        self._contradictions = contradictions
        self._sign = sign
        self._certificate = base64.b64encode(certificate_der).decode()
        self._last: OrderedDict[str, _Last] = OrderedDict()

    async def countersign(self, room: str, head: contract.Head) -> Receipt:
        """The receipt for a head."""
        last, looked = self._last.get(head.record), False
        for _ in attempts():
            if last is None:
                last, looked = await self._look(head.record), True
            found = verdict(last.kept, room, head)
            if found != "new" and not looked:
                last = None
                continue
            if found == "same" and last.message is not None:
                return self._receipt(last.seq, last.message)
            if found == "contradicts" and last.message is not None:
                raise ContradictionError(await self._contradicted(room, head, last.message))
            message = _Message(head.record, room, head.at, head.sha256, now_utc_us())
            try:
                seq = await self._jet.put(
                    self._ledger, self._ledger.subject(head.record), msgspec.json.encode(message), expected=last.seq
                )  # fmt: skip
            except LookAgainError:
                last = None
                continue
            self._remember(head.record, _Last(seq, message))
            return self._receipt(seq, message)
        raise AssertionError  # attempts() raises

    async def contradictions(self, since_utc_us: int) -> Sequence[Contradiction]:
        """Contradictions that were last seen since then."""
        found: dict[tuple[str, str], Contradiction] = {}
        seq, since = 1, since_utc_us - _SLACK_US
        begin: int | None = max(0, since)
        while read := await self._jet.read(self._contradictions, seq, since_utc_us=begin):
            for stored in read:
                each = _contradiction.decode(stored.data)
                if each.last_utc_us >= since_utc_us:
                    found[each.record, each.room] = each
            seq, begin = read[-1].seq + 1, None
        return list(found.values())

    async def after(self, counter: int, most: int) -> Sequence[Receipt]:
        """Receipts behind a counter."""
        found = await self._receipts(counter + 1, await self._jet.last_seq(self._ledger), most=most)
        return page(((receipt, len(msgspec.json.encode(receipt))) for receipt in found), most)

    async def of_record(self, record: str) -> Sequence[Receipt]:
        """All receipts of a record."""
        last = await self._look(record)
        return await self._receipts(1, last.seq, only=self._ledger.subject(record)) if last.seq else []

    async def _receipts(self, seq: int, until: int, *, only: str = "", most: int | None = None) -> list[Receipt]:
        found: list[Receipt] = []
        while most is None or len(found) < most:
            left = {} if most is None else {"most": most - len(found)}
            read = await self._jet.read_to(self._ledger, seq, until, only=only, **left)
            # Each is signed: a thousand of them must not hold up the rooms.
            found += await asyncio.to_thread(self._sign_all, read)
            if not read or (most is None and read[-1].seq >= until):
                break
            seq = read[-1].seq + 1
        return found

    def _sign_all(self, read: Sequence[Stored]) -> list[Receipt]:
        return [self._receipt(stored.seq, _message.decode(stored.data)) for stored in read]

    async def _look(self, record: str) -> _Last:
        stored = await self._jet.last(self._ledger, self._ledger.subject(record))
        last = _Last(0, None) if stored is None else _Last(stored.seq, _message.decode(stored.data))
        self._remember(record, last)
        return last

    def _remember(self, record: str, last: _Last) -> None:
        known = self._last.get(record)
        if known is None or known.seq <= last.seq:
            self._last[record] = last
        self._last.move_to_end(record)
        if len(self._last) > _HELD:
            self._last.popitem(last=False)

    def _receipt(self, counter: int, message: _Message) -> Receipt:
        receipt = Receipt(
            record=message.record, room=message.room, at=message.at, head=message.head, counter=counter, utc_us=message.utc_us, sig="",
            certificate=self._certificate,
        )  # fmt: skip
        return msgspec.structs.replace(receipt, sig=base64.b64encode(self._sign(receipt_text(receipt))).decode())

    async def _contradicted(self, room: str, said: contract.Head, kept: _Message) -> Contradiction:
        now_us, subject = now_utc_us(), self._contradictions.subject(said.record, room)
        for _ in attempts():
            stored = await self._jet.last(self._contradictions, subject)
            if stored is None:
                each = Contradiction(said.record, room, kept.at, kept.head, said.at, said.sha256, now_us, now_us, 1)
            else:
                before = _contradiction.decode(stored.data)
                if before.first_utc_us == now_us:  # ours: its acknowledgement was lost
                    return before
                each = Contradiction(**{**asdict(before), "last_utc_us": now_us, "times": before.times + 1})
            try:
                await self._jet.put(
                    self._contradictions, subject, msgspec.json.encode(each), expected=0 if stored is None else stored.seq
                )  # fmt: skip
            except LookAgainError:
                continue
            return each
        raise AssertionError  # attempts() raises
