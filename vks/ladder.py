"""Which rung of a picture a viewer gets: the large one, the small one, or sound alone. Pure; the clock is passed in.

The rungs are shared by all viewers, so a viewer's link decides which of them he gets, never how it is encoded. What is known of the link
is the receiver's own estimate (REMB) and the loss that it reports (RFC 3550, section 6.4.1). The rules, each found by measuring Chromium
behind slow links:

1. Down at the first estimate below 0.95 of the rung's rate: the large stream stops at once, else it fills the queue that the small one
   needs.
2. Up is a trial: after 3 s above 1.3 of what is sent (an estimate is at most half as much again as what arrives), watched for
   5 s; a fall of the estimate by 15%, or 10% more lost than usual, ends it, and the next waits twice as long. A trial that fails costs
   sound for a moment: where there is a picture it waits longer, and a probe (``probe.py``) has to show first that the link carries it. From
   sound alone the wait alone decides, for then nothing arrives of which a receiver could say anything.
3. Sound alone after 4 s of estimates that not even the small rung fits in: a keyframe alone halves an estimate for a moment, and Chromium
   repeats its last one with every report. After 30 s only where they are little too low and nothing is lost: after a probe Chromium tells
   too little for many seconds. At once where both are seen, much lost and too low an estimate.
4. While no picture is sent, and for 3 s after pictures begin anew, estimates are not believed: they are of the time before.
5. An estimate says something of the link only where more is sent than it says. Where nothing moves in the picture little is sent, and the
   estimate follows what is sent, whatever the link would carry.
6. Loss is believed always: three shares above 15% lead one rung down, two above 40% to sound alone. Chromium gives no estimate at all while
   its page sends no picture, and none for many seconds where nothing changes: where none has come for 10 s, 3 s without such loss lead to
   a trial.
7. A visit begins with the small picture, and with a probe as soon as the viewer has reported of it: the keyframes of the large one fill a
   slow link for seconds, and cost it the sound too.
8. A probe that the link held is believed for 45 s, and estimates are not: Chromium's grows by 8% a second, and says 300 kbit/s of a link
   without limits whose viewer had the small picture until then. What is lost counts all the while.
"""

from dataclasses import dataclass, field

DOWN_SHARE = 0.95
SURE_SHARE = 0.75
"""Below this share of what is sent an estimate is far too low."""
CLEAN_LOSS, SLOW_LOSS = 0.02, 0.2
"""No more is nothing lost; more is much, and not chance where 5% are lost always."""
FIRST_LOSS = 0.05
UP_SHARE = 1.3
UP_AFTER_US = 3_000_000
TRIAL_US = 5_000_000
TRIAL_FALL_SHARE = 0.85
TRIAL_LOSS = 0.1
BELIEVED_US = 45_000_000
BACK_OFF_FIRST_US = 5_000_000
BACK_OFF_MOST_US = 120_000_000
DEAF_US = 3_000_000
DOWN_LOSS = 0.15
"""More than this lost three times: the link carries less. A link that merely loses some packets (5% is measured) stays below."""
SOUND_LOSS = 0.4
"""More than this lost twice: only sound gets through."""
BLIND_US = 10_000_000
"""So long without an estimate: the receiver gives none."""
LOW_US = 4_000_000
"""So long a link is estimated too slow for the small rung before it is believed."""
LITTLE_LOW_US = 30_000_000
"""And so long where it is little too low and nothing is lost: a queue that only grows loses nothing."""
_LOSSY_SHARES, _DROWNED_SHARES = 3, 2
_USUAL_WEIGHT = 0.25


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
    is_new: bool = False
    """Nothing is known of the link: the first report of no more than ``FIRST_LOSS`` leads to a probe."""
    _deaf_until_us: int = field(init=False)
    _estimated_us: int = field(init=False)
    _since_us: int = field(init=False)
    """When this rung began."""
    _low_since_us: int | None = None
    _lossy: int = 0
    _drowned: int = 0
    _usual_loss: float = 0.0
    _last_loss: float = 0.0
    _good_since_us: int | None = None
    _trial: tuple[int, int, int] | None = None
    """Of a trial: when it ends, the estimate that it began with, the rung that it came from."""
    _probed_at_bps: int | None = None
    """The estimate that a probe began with, while there is one."""
    _believed_until_us: int = 0
    """Until then the probe that led to this rung is believed, and no estimate below what is sent."""
    _back_off_us: int = BACK_OFF_FIRST_US
    _not_up_before_us: int = 0

    def __post_init__(self) -> None:
        self._deaf_until_us = self.begun_us + DEAF_US
        self._estimated_us = self._since_us = self.begun_us

    @property
    def sound_alone(self) -> bool:
        """Whether no picture is sent."""
        return self.rung >= len(self.rates_bps)

    @property
    def probing(self) -> bool:
        """Whether it is to be found out now what the link carries: more is tried where ``probed`` says that it holds."""
        return self._probed_at_bps is not None

    def probed(self, now_us: int, *, holds: bool) -> bool:
        """Take what a probe has found; True where the rung has changed."""
        bps, self._probed_at_bps = self._probed_at_bps, None
        if bps is None:
            return False
        if holds:
            self._try(bps, now_us)
            self._believed_until_us = now_us + BELIEVED_US
        else:
            self._wait(now_us, longer=not self.is_new)  # a first probe may have met with a moment
        return holds

    def estimate(self, bps: int, sent_bps: int, now_us: int) -> bool:
        """Take a receiver's estimate of what the link carries, and what is sent now; True where the rung has changed."""
        self._estimated_us = now_us
        if now_us < self._deaf_until_us or self.sound_alone:
            return False
        if self._trial is not None and self._trial_fails(bps, sent_bps, now_us):
            return True
        if bps < DOWN_SHARE * min(sent_bps, self.rates_bps[self.rung]):
            return now_us >= self._believed_until_us and self._down(bps, sent_bps, now_us)
        if bps >= DOWN_SHARE * self.rates_bps[self.rung]:
            self._believed_until_us = 0
        self._low_since_us = None
        if self._probed_at_bps is not None and bps < TRIAL_FALL_SHARE * self._probed_at_bps:
            self.probed(now_us, holds=False)
        is_good = bps >= UP_SHARE * min(sent_bps, self.rates_bps[self.rung])
        self._maybe_up(bps, now_us, is_good=is_good)
        return False

    def wait(self, now_us: int) -> bool:
        """Called each second: where sound alone is sent, a picture is tried again after a while; True where the rung has changed."""
        if not self.sound_alone or now_us - self._since_us < UP_AFTER_US or now_us < self._not_up_before_us:
            return False
        self._try(0, now_us)
        return True

    def pause(self, now_us: int) -> None:
        """Nothing is to be seen now, whatever the link carries: what it is said to carry means nothing until pictures flow again."""
        self._deaf_until_us = now_us + DEAF_US
        self._trial = self._good_since_us = self._probed_at_bps = None
        self._low_since_us, self._lossy, self._drowned = None, 0, 0

    def loss(self, share: float, now_us: int) -> bool:
        """Take the share of packets that a receiver says were lost lately; True where the rung has changed."""
        self._last_loss = share
        if self.sound_alone:
            return False
        if self._trial is not None and share > self._usual_loss + TRIAL_LOSS:
            self._fail_trial(now_us)
            return True
        if share > self._usual_loss + TRIAL_LOSS:
            self.probed(now_us, holds=False)
        if share <= DOWN_LOSS:
            self._usual_loss += _USUAL_WEIGHT * (share - self._usual_loss)
        self._lossy = self._lossy + 1 if share > DOWN_LOSS else 0
        self._drowned = self._drowned + 1 if share > SOUND_LOSS else 0
        drowned = self._drowned >= _DROWNED_SHARES
        too_slow = self._low_since_us is not None and share > SLOW_LOSS and self.rung == len(self.rates_bps) - 1
        if drowned or too_slow or self._lossy >= _LOSSY_SHARES:
            self._go(len(self.rates_bps) if drowned else self.rung + 1, now_us)
            self._wait(now_us)
            return True
        if self.is_new and share <= FIRST_LOSS and self.rung > 0:
            self._probed_at_bps = self._probed_at_bps or 0
        if now_us - self._estimated_us < BLIND_US:
            return False
        self._pass_trial(now_us)
        self._maybe_up(0, now_us, is_good=share <= DOWN_LOSS)
        return False

    def _down(self, bps: int, sent_bps: int, now_us: int) -> bool:
        fits = next((n for n in range(self.rung, len(self.rates_bps)) if bps >= DOWN_SHARE * self.rates_bps[n]), None)
        if fits is None:
            last = len(self.rates_bps) - 1
            if self._low_since_us is None:
                self._low_since_us = now_us
            is_little = self._last_loss <= CLEAN_LOSS and bps >= SURE_SHARE * sent_bps
            is_short = now_us - self._low_since_us < (LITTLE_LOW_US if is_little else LOW_US)
            # From a larger rung the smallest is tried first: the estimate was made under a load that is gone then.
            fits = last if self.rung < last or is_short else last + 1
            if fits == self.rung:
                return False
        self._go(fits, now_us)
        self._wait(now_us)
        return True

    def _maybe_up(self, bps: int, now_us: int, *, is_good: bool) -> None:
        if self._trial is not None or self.probing or self.rung == 0:
            return
        if not is_good:
            self._good_since_us = None
            return
        if self._good_since_us is None:
            self._good_since_us = now_us
        if now_us - self._good_since_us >= UP_AFTER_US and now_us >= self._not_up_before_us:
            self._probed_at_bps, self._good_since_us = bps, None

    def _try(self, bps: int, now_us: int) -> None:
        was = self.rung
        self._go(was - 1, now_us)
        self._trial = (max(now_us, self._deaf_until_us) + TRIAL_US, bps, was)

    def _trial_fails(self, bps: int, sent_bps: int, now_us: int) -> bool:
        if self._trial is None:
            return False
        _, before_bps, was = self._trial
        is_lossy = was >= len(self.rates_bps) and self._last_loss > CLEAN_LOSS  # a keyframe alone halves an estimate for a moment
        far_too_low = is_lossy and bps < SURE_SHARE * min(sent_bps, self.rates_bps[self.rung])
        if far_too_low or bps < TRIAL_FALL_SHARE * before_bps:
            self._fail_trial(now_us)
            return True
        self._pass_trial(now_us)
        return False

    def _pass_trial(self, now_us: int) -> None:
        if self._trial is not None and now_us >= self._trial[0]:
            self._trial = None
            if self.rung == 0:
                self._back_off_us = BACK_OFF_FIRST_US

    def _fail_trial(self, now_us: int) -> None:
        if self._trial is not None:
            self._go(self._trial[2], now_us)
            self._wait(now_us)

    def _go(self, rung: int, now_us: int) -> None:
        if self.sound_alone or rung >= len(self.rates_bps):
            self._deaf_until_us = now_us + DEAF_US
        self.rung, self.is_new, self._believed_until_us = rung, False, 0
        self._since_us = now_us
        self._trial = self._good_since_us = self._probed_at_bps = None
        self._low_since_us, self._lossy, self._drowned = None, 0, 0

    def _wait(self, now_us: int, *, longer: bool = True) -> None:
        """Try nothing more for a while, and the next time for a longer one."""
        self._not_up_before_us = now_us + (self._back_off_us if self.sound_alone else 2 * self._back_off_us)
        self._back_off_us = min(2 * self._back_off_us, BACK_OFF_MOST_US) if longer else self._back_off_us
        self.is_new = False
