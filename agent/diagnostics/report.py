"""The report of a run: as JSON that can be signed, as results for the centre, and as plain words in the room's languages. Pure."""

import datetime as dt
from dataclasses import dataclass

import msgspec

from agent.diagnostics.check import INTERFACE_VERSION, ORDER, Outcome, Result
from agent.diagnostics.words import CHECK_NAMES, RESULT_NAMES, SUMMARY, detail, remedy
from agent.upstream.contract import CheckResult
from provisioning.room import Language

EXIT_STATUS: dict[Result, int] = {"good": 0, "unknown": 0, "warning": 1, "bad": 2}
_MOST_CHARACTERS = 2_000
_encoder = msgspec.json.Encoder(order="sorted")


class Signable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The report as JSON: what ``courtroom diagnose --json`` prints."""

    room: str
    utc_us: int
    interface: int
    worst: Result
    checks: list[CheckResult]


@dataclass(frozen=True, slots=True)
class Done:
    """One check with what came of it."""

    name: str
    version: int
    outcome: Outcome

    def result(self, language: Language = "en") -> CheckResult:
        """As the contract has it, in words of this language."""
        details = [detail(one.code, one.values, language) for one in self.outcome.found]
        remedies = dict.fromkeys(remedy(one.code, one.values, language) for one in self.outcome.found)
        return CheckResult(
            check=self.name,
            version=self.version,
            result=self.outcome.result,
            detail=" ".join(details)[:_MOST_CHARACTERS],
            remedy=" ".join(one for one in remedies if one)[:_MOST_CHARACTERS],
            values=self.outcome.values,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of a run in their order."""

    room: str
    utc_us: int
    done: list[Done]

    @property
    def worst(self) -> Result:
        """The worst of all results."""
        return max((one.outcome.result for one in self.done), key=ORDER.index, default="unknown")

    @property
    def exit_status(self) -> int:
        """0 good (or not known), 1 a warning, 2 bad."""
        return EXIT_STATUS[self.worst]

    def results(self, language: Language = "en") -> list[CheckResult]:
        """For ``DiagnosticsDone``."""
        return [one.result(language) for one in self.done]

    def json(self, language: Language = "en") -> bytes:
        """JSON with its keys sorted: the same report is the same bytes."""
        return _encoder.encode(
            Signable(room=self.room, utc_us=self.utc_us, interface=INTERFACE_VERSION, worst=self.worst, checks=self.results(language))
        )

    def signing_text(self) -> bytes:
        """The text to sign (ECDSA P-256, SHA-256): what it is, then the report in English."""
        return b"courtroom-diagnostics-v1\n" + self.json() + b"\n"

    def words(self, language: Language) -> str:
        """For people: a line a finding, and below it what to do."""
        when = dt.datetime.fromtimestamp(self.utc_us / 1e6, dt.UTC)
        lines = [f"{self.room}, {when:%Y-%m-%d %H:%M} UTC: {SUMMARY[self.worst][language]}"]
        for one in self.done:
            for found in one.outcome.found:
                name, result = CHECK_NAMES.get(one.name, {}).get(language, one.name), RESULT_NAMES[found.result][language]
                lines.append(f"{name}: {result}. {detail(found.code, found.values, language)}")
                if what := remedy(found.code, found.values, language):
                    lines.append(f"    → {what}")
        return "\n".join(lines) + "\n"
