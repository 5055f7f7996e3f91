"""The words of the page of all rooms, in Kazakh, Russian and English."""

from agent.upstream.centre.flags import Code, Wrong
from provisioning.room import Language

Words = dict[Language, str]
LANGUAGES: tuple[Language, ...] = ("kk", "ru", "en")
LANGUAGE_NAMES: Words = {"kk": "Қазақша", "ru": "Русский", "en": "English"}

TITLE: Words = {"kk": "Сот залдары", "ru": "Залы судебных заседаний", "en": "Courtrooms"}
AS_OF: Words = {"kk": "Жағдай: {time}", "ru": "На {time}", "en": "As of {time}"}
TROUBLED: Words = {"kk": "Назар аудару керек", "ru": "Требуют внимания", "en": "Need attention"}
RECORDING: Words = {"kk": "Жазу жүріп жатыр", "ru": "Идёт запись", "en": "Recording now"}
OTHERS: Words = {"kk": "Қалған залдар", "ru": "Остальные залы", "en": "All other rooms"}
SHOW_ALL: Words = {"kk": "Барлық залды көрсету", "ru": "Показать все залы", "en": "Show all rooms"}
SHOW_FEWER: Words = {"kk": "Тек маңыздысын көрсету", "ru": "Показать только важное", "en": "Show what matters alone"}
NOTHING_WRONG: Words = {"kk": "Барлық залда бәрі дұрыс.", "ru": "Во всех залах всё в порядке.", "en": "All is well in all rooms."}
NO_ROOM: Words = {
    "kk": "Мұрағат дискісінде орын жоқ: залдардың жазбалары қабылданбайды. Орын босатыңыз.",
    "ru": "На диске архива нет места: записи залов не принимаются. Освободите место.",
    "en": "The archive's disk is full: no room's record is taken. Make room.",
}
NO_ROOMS: Words = {
    "kk": "Әзірге бірде-бір зал жоқ: `courtroom centre token` оларды тіркейді.",
    "ru": "Пока нет ни одного зала: их заводит `courtroom centre token`.",
    "en": "There are no rooms yet: `courtroom centre token` makes them known.",
}
COLUMNS: tuple[Words, ...] = (
    {"kk": "Зал", "ru": "Зал", "en": "Room"},
    {"kk": "Не болды", "ru": "Что не так", "en": "What is wrong"},
    {"kk": "Күйі", "ru": "Состояние", "en": "State"},
    {"kk": "Отырыс", "ru": "Заседание", "en": "Hearing"},
    {"kk": "Соңғы байланыс", "ru": "Последняя связь", "en": "Last heard"},
)

COUNTS: dict[str, Words] = {
    "rooms": {"kk": "зал", "ru": "залов", "en": "rooms"},
    "recording": {"kk": "жазып жатыр", "ru": "записывают", "en": "recording"},
    "contradiction": {"kk": "қайшылық", "ru": "противоречия", "en": "contradictions"},
    "not_recorded": {"kk": "жазбасыз", "ru": "без записи", "en": "not recorded"},
    "late": {"kk": "кешігуде", "ru": "опаздывают", "en": "late"},
    "silent": {"kk": "байланыссыз", "ru": "не на связи", "en": "silent"},
    "alarm": {"kk": "ақаулы", "ru": "с неисправностью", "en": "with alarms"},
}

_WRONG: dict[Code, Words] = {
    "contradiction": {
        "kk": "{record} жазбасы бұрын куәландырылғанға қайшы келеді: қауіпсіздік қызметіне хабарлаңыз",
        "ru": "запись {record} противоречит заверенному ранее: сообщите службе безопасности",
        "en": "record {record} contradicts what was countersigned: tell the security service",
    },
    "not_recorded": {
        "kk": "{hearing} отырысының жазбасы жоқ",
        "ru": "нет записи заседания {hearing}",
        "en": "hearing {hearing} was not recorded",
    },
    "late": {"kk": "{hearing} отырысы кешікті", "ru": "заседание {hearing} опаздывает", "en": "hearing {hearing} is late"},
    "silent": {"kk": "байланыс жоқ", "ru": "нет связи с залом", "en": "the room is silent"},
    "alarm": {"kk": "ақау бар", "ru": "есть неисправность", "en": "an alarm is on"},
}
_NEVER: Words = {"kk": "ешқашан байланысқа шықпаған", "ru": "ни разу не выходил на связь", "en": "never heard"}

STATES: dict[str, Words] = {
    "": {"kk": "белгісіз", "ru": "неизвестно", "en": "not known"},
    "idle": {"kk": "жазба жоқ", "ru": "не записывает", "en": "not recording"},
    "open": {"kk": "жазып жатыр", "ru": "идёт запись", "en": "recording"},
    "off_record": {"kk": "хаттамадан тыс", "ru": "вне записи", "en": "off the record"},
    "privileged": {"kk": "құпия сөйлесу", "ru": "доверительный разговор", "en": "privileged talk"},
    "deliberation": {"kk": "сот кеңесуде", "ru": "суд совещается", "en": "deliberation"},
    "closing": {"kk": "жазба жабылуда", "ru": "запись завершается", "en": "closing"},
    "unreachable": {"kk": "жазу қызметі жауап бермейді", "ru": "служба записи не отвечает", "en": "the recorder does not answer"},
}

_ALARMS: dict[str, Words] = {
    "source_lost": {"kk": "құрылғы жоғалды", "ru": "пропало устройство", "en": "a device is gone"},
    "silent": {"kk": "микрофон үнсіз", "ru": "микрофон молчит", "en": "a microphone is silent"},
    "room_silent": {"kk": "залдан дыбыс жоқ", "ru": "в зале ничего не слышно", "en": "nothing is heard in the room"},
    "clipped": {"kk": "микрофон тым қатты", "ru": "микрофон перегружен", "en": "a microphone is too loud"},
    "black": {"kk": "камера суреті қара", "ru": "чёрная картинка", "en": "a picture is black"},
    "frozen": {"kk": "камера суреті қатып қалды", "ru": "картинка застыла", "en": "a picture is frozen"},
    "late": {"kk": "жазба кешігіп жатыр", "ru": "запись отстаёт", "en": "what is recorded comes late"},
    "unreadable": {"kk": "жазба оқылмайды", "ru": "записанное не читается", "en": "what is recorded cannot be decoded"},
    "watch_behind": {
        "kk": "жазба кешігіп тексерілуде",
        "ru": "записанное проверяется с опозданием",
        "en": "what is recorded is checked late",
    },
    "too_many_tracks": {
        "kk": "қатысушылардың бір бөлігі жазылмайды",
        "ru": "часть дорожек участников не записывается",
        "en": "some tracks of participants are not recorded",
    },
    "disk_short_primary": {"kk": "дискіде орын аз", "ru": "мало места на диске", "en": "the disk is nearly full"},
    "disk_short_mirror": {"kk": "екінші дискіде орын аз", "ru": "мало места на втором диске", "en": "the second disk is nearly full"},
    "primary_refuses": {
        "kk": "бірінші диск жазбайды",
        "ru": "на первый диск нельзя записать",
        "en": "the first disk takes nothing",
    },
    "mirror_refuses": {
        "kk": "екінші диск жазбайды",
        "ru": "на второй диск нельзя записать",
        "en": "the second disk takes nothing",
    },
    "disk_full": {"kk": "диск толды", "ru": "диск заполнен", "en": "the disk is full"},
    "storage_stalled": {"kk": "диск жауап бермейді", "ru": "диск завис", "en": "the disk hangs"},
    "disk_error": {"kk": "диск қатесі", "ru": "ошибка диска", "en": "a disk fails"},
    "storage_failed": {"kk": "ешбір диск жазбайды", "ru": "ни один диск не пишет", "en": "no disk takes anything"},
    "primary_disk_failed": {"kk": "бірінші диск істемейді", "ru": "первый диск отказал", "en": "the first disk failed"},
    "mirror_left": {"kk": "екінші диск істемейді", "ru": "второй диск отказал", "en": "the second disk failed"},
    "signing_stalled": {"kk": "қолтаңба кідіруде", "ru": "подпись задерживается", "en": "signing is delayed"},
    "signing_failed": {"kk": "қолтаңба қойылмайды", "ru": "подпись не ставится", "en": "signing fails"},
    "recipient_unread": {
        "kk": "алушының сертификаты жарамсыз",
        "ru": "сертификат получателя непригоден",
        "en": "a recipient's certificate is unusable",
    },
    "record_unread": {"kk": "бұрынғы жазба оқылмайды", "ru": "прежняя запись не читается", "en": "an earlier record cannot be read"},
    "record_unsealed": {"kk": "жазба мөрленбеген", "ru": "запись не опечатана", "en": "a record is not sealed"},
    "orders_kept": {
        "kk": "соңғы бұйрыққа қол қойылмаған: бұрынғысы күшінде",
        "ru": "последняя команда не подписана: действует прежняя",
        "en": "the last order is not signed: the one before it holds",
    },
    "record_damaged": {"kk": "жазба зақымданған", "ru": "запись повреждена", "en": "a record is damaged"},
    "recheck_failed": {"kk": "жазба қайта оқылмады", "ru": "запись не удалось перечитать", "en": "a record could not be read again"},
    "copies_not_completed": {"kk": "көшірме аяқталмады", "ru": "копия записи не завершена", "en": "a copy of a record is not complete"},
    "receipt_refused": {"kk": "орталық түбіртегі қате", "ru": "неверная квитанция центра", "en": "a receipt of the centre is wrong"},
    "certificate_ends": {
        "kk": "жазба сертификатының мерзімі бітеді",
        "ru": "истекает сертификат подписи записей",
        "en": "the certificate that signs records ends",
    },
    "thread_failed": {"kk": "жазу қызметінде қате", "ru": "ошибка в службе записи", "en": "an error in the recorder"},
    "recorder_unreachable": {"kk": "жазу қызметі жауап бермейді", "ru": "служба записи не отвечает", "en": "the recorder does not answer"},
}

_AGO: dict[Language, tuple[str, str, str, str]] = {
    "kk": ("{} с бұрын", "{} мин бұрын", "{} сағ бұрын", "{} күн бұрын"),
    "ru": ("{} с назад", "{} мин назад", "{} ч назад", "{} дн. назад"),
    "en": ("{} s ago", "{} min ago", "{} h ago", "{} d ago"),
}


def wrong_text(wrong: Wrong, alarms: list[str], language: Language) -> str:
    """One thing that is wrong, in words; an alarm that has none is shown by its code."""
    if wrong.code == "silent" and not wrong.since_utc_us:
        return _NEVER[language]
    if wrong.code == "alarm" and alarms:
        return ", ".join(_ALARMS[code][language] if code in _ALARMS else code for code in alarms)
    return _WRONG[wrong.code][language].format(hearing=wrong.hearing, record=wrong.record)


def ago_text(utc_us: int, now_utc_us: int, language: Language) -> str:
    """How long ago something was."""
    seconds = max(0, now_utc_us - utc_us) // 1_000_000
    for limit, length, text in zip((120, 7_200, 172_800), (1, 60, 3_600), _AGO[language], strict=False):
        if seconds < limit:
            return text.format(seconds // length)
    return _AGO[language][3].format(seconds // 86_400)
