"""The clerk's prompts in Kazakh, Russian and English. ``agent/actions.py`` says what each code stands for."""

import datetime as dt
import zoneinfo

from agent.actions import Prompt, PromptCode
from provisioning.room import Language

_WORDS: dict[PromptCode, dict[Language, str]] = {
    "start_due": {
        "kk": "{hearing} отырысының уақыты келді ({starts}). Жазуды бастайсыз ба?",
        "ru": "Пора начинать заседание {hearing} ({starts}). Начать запись?",
        "en": "Hearing {hearing} is due ({starts}). Begin to record?",
    },
    "late": {
        "kk": "{hearing} отырысы {late} минутқа кешікті. Бастаңыз немесе неге өтпейтінін айтыңыз.",
        "ru": "Заседание {hearing} опаздывает на {late} мин. Начните его или укажите, почему оно не состоится.",
        "en": "Hearing {hearing} is {late} min late. Begin, or say why it does not take place.",
    },
    "not_started": {
        "kk": "{hearing} отырысының уақыты өтті, жазба жоқ. Неге өтпегенін айтыңыз.",
        "ru": "Время заседания {hearing} прошло, записи нет. Укажите, почему оно не состоялось.",
        "en": "The time of hearing {hearing} is over, and nothing was recorded. Say why it was not held.",
    },
    "start_failed": {
        "kk": "{hearing} отырысының жазбасы басталмады: {detail}. Қайталаңыз, техникті шақырыңыз.",
        "ru": "Запись заседания {hearing} не началась: {detail}. Повторите и вызовите техника.",
        "en": "Recording of hearing {hearing} did not begin: {detail}. Try again, and call the technician.",
    },
    "runs_over": {
        "kk": "{hearing} отырысы әлі жүріп жатыр, ал {next} отырысының уақыты келді ({late} мин).",
        "ru": "Заседание {hearing} ещё идёт, а заседанию {next} уже пора ({late} мин).",
        "en": "Hearing {hearing} goes on, and hearing {next} is due ({late} min).",
    },
    "hearing_changed": {
        "kk": "Жазылып жатқан {hearing} отырысын орталық өзгертті ({change}). Жазба жалғасуда.",
        "ru": "Центр изменил заседание {hearing}, которое записывается ({change}). Запись продолжается.",
        "en": "The centre changed hearing {hearing} while it is recorded ({change}). Recording goes on.",
    },
    "forgotten_stop": {
        "kk": "{hearing} отырысының уақыты өтті, залда ешкім естілмейді. {closes} секундтан кейін жабылады. Жабу керек пе?",
        "ru": "Время заседания {hearing} прошло, в зале никого не слышно. Через {closes} с оно закроется. Закрыть?",
        "en": "The time of hearing {hearing} is over, and nobody is heard. It is closed in {closes} s. Close it?",
    },
    "paused_past_end": {
        "kk": "{hearing} отырысының уақыты өтті, ол әлі үзілісте. Жазуды жалғастырыңыз немесе жабыңыз.",
        "ru": "Время заседания {hearing} прошло, а оно всё ещё приостановлено. Продолжите или закройте его.",
        "en": "The time of hearing {hearing} is over, and it is still paused. Resume or close it.",
    },
    "bind_session": {
        "kk": "Жоспардан тыс сессия ({session}) бар. Ол қай отырысқа жатады?",
        "ru": "Есть внеплановая сессия ({session}). К какому заседанию она относится?",
        "en": "An unplanned session ({session}) belongs to no hearing yet. To which?",
    },
    "wrong_case": {
        "kk": "{hearing} отырысы жазылып жатыр, ал қазір {next} отырысының уақыты. Дұрыс отырыс па?",
        "ru": "Записывается заседание {hearing}, а сейчас время заседания {next}. То ли это заседание?",
        "en": "Hearing {hearing} is being recorded, but it is hearing {next}'s time. Is it the right one?",
    },
    "checks_bad": {
        "kk": "{hearing} отырысы алдындағы тексеру ақау тапты. Техникті шақырыңыз (`courtroom diagnose`).",
        "ru": "Проверка перед заседанием {hearing} нашла неисправность. Вызовите техника (`courtroom diagnose`).",
        "en": "The checks before hearing {hearing} found something bad. Call the technician (`courtroom diagnose`).",
    },
    "recorder_unreachable": {
        "kk": "Жазу бағдарламасы жауап бермейді: не жазылып жатқаны белгісіз. Техникті шақырыңыз.",
        "ru": "Программа записи не отвечает: неизвестно, что записывается. Вызовите техника.",
        "en": "The recorder does not answer: nobody can say what is recorded. Call the technician.",
    },
}
_CHANGES: dict[str, dict[Language, str]] = {
    "cancelled": {"kk": "тоқтатылды", "ru": "отменено", "en": "cancelled"},
    "moved": {"kk": "басқа залға көшірілді", "ru": "перенесено в другой зал", "en": "moved to another room"},
    "retimed": {"kk": "уақыты өзгерді", "ru": "изменено время", "en": "another time"},
}
_NO_ANSWER: frozenset[PromptCode] = frozenset(
    {"recorder_unreachable", "checks_bad", "start_failed", "runs_over", "paused_past_end", "bind_session", "not_started", "wrong_case"}
)  # fmt: skip
"""What tells, or asks for more than a yes or a no."""


def say(prompt: Prompt, language: Language, timezone: zoneinfo.ZoneInfo) -> str:
    """A prompt in words; times are the courtroom's."""
    args = prompt.args
    starts = dt.datetime.fromtimestamp(int(args.get("starts_utc_us", 0)) / 1e6, timezone)
    change = str(args.get("change", ""))
    return _WORDS[prompt.code][language].format(
        hearing=prompt.hearing, session=prompt.session, starts=f"{starts:%H:%M}", late=int(args.get("late_s", 0)) // 60,
        closes=args.get("closes_in_s", ""), next=args.get("next", ""), detail=args.get("detail", ""),
        change=_CHANGES[change][language] if change in _CHANGES else change,
    )  # fmt: skip


def asks(prompt: Prompt) -> bool:
    """Whether the clerk can answer it by yes or no."""
    return prompt.code not in _NO_ANSWER


def command(prompt: Prompt) -> str:
    """What to type where yes or no is no answer; what is to be filled in stands in capitals. Empty: it only tells."""
    if prompt.code == "not_started":
        return f'courtroom hearing not-held {prompt.hearing} --reason "WHY" --by NAME'
    if prompt.code in {"bind_session", "wrong_case"}:
        return f"courtroom hearing bind {prompt.args.get('next', 'HEARING')} --session {prompt.session} --by NAME"
    return ""
