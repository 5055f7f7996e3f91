"""Pages of one kind that a link opens, each for what its link names: a later page with the same link takes the earlier one's place."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from recorder.contract import conference as contract
from vks import signalling
from vks.conference import Conference
from vks.opened_page import STARTING, OpenedPage
from vks.rules import RefusedError

Page = TypeVar("Page", bound=OpenedPage[Any, Any, Any])


class OpenedPages(Generic[Page]):
    """All of them.

    Args:
        now: the conference and its hearing, where there is one.
    """

    def __init__(self, now: Callable[[], tuple[Conference | None, contract.HearingIs | None]]) -> None:
        self._now = now
        self._pages: list[Page] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._pages)

    def __iter__(self) -> Iterator[Page]:
        """Each."""
        return iter(self._pages)

    def __contains__(self, page: object) -> bool:
        """Whether it is one of them, still."""
        return page in self._pages

    @property
    def conference(self) -> Conference | None:
        """The one that is held."""
        return self._now()[0]

    @property
    def hearing(self) -> contract.HearingIs | None:
        """The one that it is held for."""
        return self._now()[1]

    def held(self) -> tuple[Conference, contract.HearingIs]:
        """What is held, to a page that has come.

        Raises:
            RefusedError: nothing is, or nobody has said yet.
        """
        conference, hearing = self._now()
        if hearing is None:
            raise RefusedError(STARTING, "nobody has said yet which hearing it is")
        if conference is None:
            raise RefusedError("unknown", "no hearing is held")
        return conference, hearing

    def add(self, page: Page, *, replaces: Callable[[Page], bool]) -> None:
        """One more; those that it replaces are told so."""
        for earlier in self._pages:
            if replaces(earlier):
                earlier.end(signalling.Bye(code="elsewhere", again=False))
        self._pages.append(page)

    def drop(self, page: Page) -> None:
        """It is gone, and takes nothing more."""
        self._pages.remove(page)
        if self.conference is not None and page.viewer is not None:
            self.conference.hide(page.viewer)

    def close(self, bye: signalling.Bye) -> None:
        """Send all away."""
        for page in self._pages:
            page.end(bye)
