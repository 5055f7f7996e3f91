"""The page of all rooms: counts, then the rooms where something is wrong, then those that record; the others on demand. Pure.

No script: it asks for itself anew. Readable for some thousand rooms, and by a person who does not tell colours apart.
"""

import base64
import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence
from html import escape

from agent.upstream.centre import page_words as words
from agent.upstream.centre.flags import WORST_FIRST
from agent.upstream.centre.overview import RoomView
from agent.upstream.centre.page_words import LANGUAGES, ago_text, wrong_text
from provisioning.room import Language

REFRESH_S = 10
_RECORDING = frozenset({"open", "off_record", "privileged", "deliberation", "closing"})
_STYLE = """
:root{color-scheme:light dark;--line:#8886;--bad:#b3261e;--warn:#8a5a00;--good:#1b6e3c}
@media(prefers-color-scheme:dark){:root{--bad:#ff8a80;--warn:#ffc766;--good:#7fd6a0}}
body{font:16px/1.45 system-ui,sans-serif;margin:1rem auto;max-width:80rem;padding:0 1rem}
header{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;align-items:baseline}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:1.5rem 0 .5rem}
nav{margin-left:auto}nav a{margin-left:1rem}nav a[aria-current]{font-weight:700;text-decoration:none;color:inherit}
ul.counts{list-style:none;display:flex;flex-wrap:wrap;gap:.75rem;padding:0;margin:1rem 0}
ul.counts li{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .9rem;min-width:6rem}
ul.counts b{display:block;font-size:1.6rem;line-height:1.2;font-variant-numeric:tabular-nums}
.bad b,td.bad{color:var(--bad)}.warn b{color:var(--warn)}.good b{color:var(--good)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line)}
tbody th,td:nth-child(n+3){white-space:nowrap}tbody th{font-weight:600}td.bad p{margin:0}
ul.rooms{list-style:none;padding:0;columns:14rem;column-gap:1.5rem}ul.rooms span{opacity:.7}
"""
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def language_of(asked: str | None, accepted: str) -> Language:
    """The language that was asked for; else the first that the browser accepts (RFC 9110, 12.5.4); else Kazakh."""
    wanted = [asked or "", *(each.partition(";")[0].strip()[:2].lower() for each in accepted.split(","))]
    return next((language for each in wanted for language in LANGUAGES if each == language), LANGUAGES[0])


def render(views: Sequence[RoomView], language: Language, now: dt.datetime, *, show_all: bool, no_room: bool = False) -> str:
    """The page as HTML.

    Args:
        views: all rooms.
        language: of its words.
        now: local time with its offset.
        show_all: whether rooms are listed too that neither record nor have anything wrong.
        no_room: whether the archive's disk is full.
    """
    now_us = int(now.timestamp() * 1e6)
    troubled = sorted((view for view in views if view.wrongs), key=_worst)
    recording = [view for view in views if not view.wrongs and _state(view) in _RECORDING]
    others = [view for view in views if not view.wrongs and _state(view) not in _RECORDING]
    show = "&amp;show=all" if show_all else ""
    links = "".join(
        f'<a href="?lang={each}{show}" lang="{each}"{" aria-current=" + chr(34) + "page" + chr(34) if each == language else ""}>'
        f"{words.LANGUAGE_NAMES[each]}</a>"
        for each in LANGUAGES
    )
    time = words.AS_OF[language].format(time=f"{now:%Y-%m-%d %H:%M:%S} UTC{now:%z}")
    head = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{words.TITLE[language]}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="{REFRESH_S}">'
        f"<style>{_STYLE}</style></head>"
        f"<body><header><h1>{words.TITLE[language]}</h1><span>{time}</span><nav>{links}</nav></header><main>"
    )
    parts = [head, f'<p class="bad" role="alert"><b>{words.NO_ROOM[language]}</b></p>' if no_room else "", _counts(views, language)]
    if not views:
        parts.append(f"<p>{escape(words.NO_ROOMS[language])}</p>")
    elif troubled:
        parts.append(f"<h2>{words.TROUBLED[language]} ({len(troubled)})</h2>{_table(troubled, language, now_us)}")
    else:
        parts.append(f"<p>{words.NOTHING_WRONG[language]}</p>")
    if recording:
        parts.append(f"<h2>{words.RECORDING[language]} ({len(recording)})</h2>{_table(recording, language, now_us)}")
    if others:
        link, text = ("", words.SHOW_FEWER) if show_all else ("&amp;show=all", words.SHOW_ALL)
        parts.append(f'<h2>{words.OTHERS[language]} ({len(others)})</h2><p><a href="?lang={language}{link}">{text[language]}</a></p>')
        if show_all:
            items = (f"<li>{escape(view.state.room)} <span>{_state_text(view, language)}</span></li>" for view in others)
            parts.append(f'<ul class="rooms">{"".join(items)}</ul>')
    parts.append("</main></body></html>\n")
    return "".join(parts)


def _worst(view: RoomView) -> tuple[int, str]:
    return WORST_FIRST.index(view.wrongs[0].code), view.state.room


def _state(view: RoomView) -> str:
    return view.state.heartbeat.state if view.state.heartbeat is not None else ""


def _state_text(view: RoomView, language: Language) -> str:
    state = _state(view)
    return words.STATES[state][language] if state in words.STATES else escape(state)


def _counts(views: Sequence[RoomView], language: Language) -> str:
    wrong = Counter(code for view in views for code in {each.code for each in view.wrongs})
    shown = [("rooms", len(views), ""), ("recording", sum(_state(view) in _RECORDING for view in views), "good")]
    shown += [(code, wrong[code], "warn" if code in {"late", "alarm"} else "bad") for code in WORST_FIRST]
    items = (
        f'<li class="{kind if number else ""}"><b>{number}</b>{words.COUNTS[name][language]}</li>'
        for name, number, kind in shown
        if number or name != "contradiction"
    )
    return f'<ul class="counts">{"".join(items)}</ul>'


def _table(views: Sequence[RoomView], language: Language, now_us: int) -> str:
    head = "".join(f'<th scope="col">{column[language]}</th>' for column in words.COLUMNS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(view, language, now_us) for view in views)}</tbody></table>"


def _row(view: RoomView, language: Language, now_us: int) -> str:
    state, beat = view.state, view.state.heartbeat
    alarms = beat.alarms if beat is not None else []
    wrongs = "".join(f"<p>{escape(wrong_text(wrong, alarms, language))}</p>" for wrong in view.wrongs)
    heard = "" if state.heard_utc_us is None else ago_text(state.heard_utc_us, now_us, language)
    return (
        f'<tr><th scope="row">{escape(state.room)}</th><td class="bad">{wrongs}</td><td>{_state_text(view, language)}</td>'
        f"<td>{escape(beat.hearing if beat is not None else '')}</td><td>{heard}</td></tr>"
    )
