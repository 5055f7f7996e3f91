"""Which rung of a picture a viewer gets: the large one, the small one, or sound alone. Pure; the clock is passed in.

The rungs are shared by all viewers, so a viewer's link decides which of them he gets, never how it is encoded. What is known of the link
is the receiver's own estimate (REMB) and the loss that it reports (RFC 3550, section 6.4.1). The rules, each found by measuring Chromium
behind slow links:

1. Down at the first estimate below 0.95 of the rung's rate: the large stream stops at once, else it fills the queue that the small one
   needs.
2. Up is a trial: after 3 s above 1.3 of what is sent (an estimate is at most half as much again as what arrives), watched for
   5 s; a fall of the estimate by 15% or loss above 5% ends it, and the next waits twice as long. From sound alone the wait alone decides.
3. Sound alone after two estimates that not even the small rung fits in, or where loss says that nothing arrives.
4. While no picture is sent, and for 3 s after pictures begin anew, estimates are not believed: they are of the time before.
5. An estimate says something of the link only where more is sent than it says. Where nothing moves in the picture little is sent, and the
   estimate follows what is sent, whatever the link would carry.
"""

from dataclasses import dataclass, field

DOWN_SHARE = 0.95
UP_SHARE = 1.3
UP_AFTER_US = 3_000_000
TRIAL_US = 5_000_000
TRIAL_FALL_SHARE = 0.85
TRIAL_LOSS = 0.05
BACK_OFF_FIRST_US = 5_000_000
BACK_OFF_MOST_US = 120_000_000
DEAF_US = 3_000_000
SOUND_LOSS = 0.4
"""More than this share lost over two reports: only sound gets through."""
_LOW_ESTIMATES = 2


@dataclass(slots=True)
class Ladder:
    """For one viewer.

    Args:
        rates_bps: of the rungs, the largest first.
        begun_us: now.
        rung: where it begins; ``len(rates_bps)`` is sound alone.
    """

    rates_bps: tuple[int, ...]
    begun_us: int
    rung: int = 0
    _deaf_until_us: int = field(init=False)
    _low: int = 0
    _lossy: int = 0
    _good_since_us: int | None = None
    _trial: tuple[int, int, int] | None = None
    """Of a trial: when it ends, the estimate that it began with, the rung that it came from."""
    _back_off_us: int = BACK_OFF_FIRST_US
    _not_up_before_us: int = 0

    def __post_init__(self) -> None:
        self._deaf_until_us = self.begun_us + DEAF_US

    @property
    def sound_alone(self) -> bool:
        """Whether no picture is sent."""
        return self.rung >= len(self.rates_bps)

    def estimate(self, bps: int, sent_bps: int, now_us: int) -> bool:
        """Take a receiver's estimate of what the link carries, and what is sent now; True where the rung has changed."""
        if now_us < self._deaf_until_us:
            return False
        if self._trial is not None and self._trial_fails(bps, now_us):
            return True
        if not self.sound_alone and bps < DOWN_SHARE * min(sent_bps, self.rates_bps[self.rung]):
            return self._down(bps, now_us)
        self._low = 0
        return self._maybe_up(bps, sent_bps, now_us)

    def pause(self, now_us: int) -> None:
        """Nothing is to be seen now, whatever the link carries: what it is said to carry means nothing until pictures flow again."""
        self._deaf_until_us = now_us + DEAF_US
        self._trial = self._good_since_us = None
        self._low = self._lossy = 0

    def loss(self, share: float, now_us: int) -> bool:
        """Take the share of packets that a receiver says were lost since its last report; True where the rung has changed."""
        if self._trial is not None and share > TRIAL_LOSS:
            self._end_trial(now_us)
            return True
        self._lossy = self._lossy + 1 if share > SOUND_LOSS else 0
        if self._lossy >= _LOW_ESTIMATES and not self.sound_alone:
            self._go(len(self.rates_bps), now_us)
            self._wait_longer(now_us)
            return True
        return False

    def _down(self, bps: int, now_us: int) -> bool:
        fits = next((n for n in range(self.rung, len(self.rates_bps)) if bps >= DOWN_SHARE * self.rates_bps[n]), None)
        if fits is None:
            self._low += 1
            last = len(self.rates_bps) - 1
            if self._low < _LOW_ESTIMATES and self.rung == last:
                return False
            # From a larger rung the smallest is tried first: the estimate was made under a load that is gone then.
            fits = len(self.rates_bps) if self._low >= _LOW_ESTIMATES else last
        self._go(fits, now_us)
        self._wait_longer(now_us)
        return True

    def _maybe_up(self, bps: int, sent_bps: int, now_us: int) -> bool:
        if self._trial is not None or self.rung == 0:
            return False
        if not self.sound_alone and bps < UP_SHARE * min(sent_bps, self.rates_bps[self.rung]):
            self._good_since_us = None
            return False
        if self._good_since_us is None:
            self._good_since_us = now_us
        if now_us - self._good_since_us < UP_AFTER_US or now_us < self._not_up_before_us:
            return False
        was = self.rung
        self._go(was - 1, now_us)
        self._trial = (self._deaf_until_us + TRIAL_US if was >= len(self.rates_bps) else now_us + TRIAL_US, bps, was)
        return True

    def _trial_fails(self, bps: int, now_us: int) -> bool:
        if self._trial is None:
            return False
        ends_us, began_bps, _ = self._trial
        if bps < TRIAL_FALL_SHARE * began_bps:
            self._end_trial(now_us)
            return True
        if now_us >= ends_us:
            self._trial = None
            self._back_off_us = BACK_OFF_FIRST_US
        return False

    def _end_trial(self, now_us: int) -> None:
        if self._trial is not None:
            self._go(self._trial[2], now_us)
            self._wait_longer(now_us)

    def _go(self, rung: int, now_us: int) -> None:
        if self.sound_alone or rung >= len(self.rates_bps):
            self._deaf_until_us = now_us + DEAF_US
        self.rung = rung
        self._trial = None
        self._good_since_us = None
        self._low = self._lossy = 0

    def _wait_longer(self, now_us: int) -> None:
        self._not_up_before_us = now_us + self._back_off_us
        self._back_off_us = min(2 * self._back_off_us, BACK_OFF_MOST_US)
