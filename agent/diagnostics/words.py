"""What each code of the checks means, and what to do about it, in Kazakh, Russian and English."""

from agent.diagnostics.check import Result
from provisioning.room import Language

Words = dict[Language, str]

RESULT_NAMES: dict[Result, Words] = {
    "good": {"kk": "жақсы", "ru": "хорошо", "en": "good"},
    "unknown": {"kk": "белгісіз", "ru": "неизвестно", "en": "not known"},
    "warning": {"kk": "ескерту", "ru": "предупреждение", "en": "warning"},
    "bad": {"kk": "ақау", "ru": "неисправность", "en": "bad"},
}
CHECK_NAMES: dict[str, Words] = {
    "capture": {"kk": "Камералар мен микрофондар", "ru": "Камеры и микрофоны", "en": "Cameras and microphones"},
    "disk": {"kk": "Дискілер", "ru": "Диски", "en": "Disks"},
    "clock": {"kk": "Сағат", "ru": "Часы", "en": "Clock"},
    "smart": {"kk": "Дискінің күйі", "ru": "Состояние дисков", "en": "Disk health"},
}
SUMMARY: dict[Result, Words] = {
    "good": {"kk": "зал отырысқа дайын", "ru": "зал готов к заседанию", "en": "the room is ready for a hearing"},
    "unknown": {
        "kk": "зал дайын; кейбірін тексеру мүмкін болмады",
        "ru": "зал готов; кое-что проверить не удалось",
        "en": "the room is ready; something could not be checked",
    },
    "warning": {
        "kk": "жазуға болады, бірақ назар аудару керек",
        "ru": "записывать можно, но есть что исправить",
        "en": "hearings can be recorded, but something needs care",
    },
    "bad": {"kk": "отырысқа дейін түзету керек", "ru": "нужно исправить до заседания", "en": "to be mended before the next hearing"},
}

_SERVICE = "`systemctl status courtroom-recorder`"
_RESTART = "`systemctl restart courtroom-recorder`"

DETAILS: dict[str, Words] = {
    "check_failed": {
        "kk": "Тексерудің өзі орындалмады: {error}.",
        "ru": "Сама проверка не удалась: {error}.",
        "en": "The check itself failed: {error}.",
    },
    "check_hangs": {
        "kk": "Тексеру {seconds} с ішінде аяқталмады.",
        "ru": "Проверка не закончилась за {seconds} с.",
        "en": "The check did not end within {seconds} s.",
    },
    "check_stopped": {
        "kk": "Отырыс басталды, тексеру тоқтатылды.",
        "ru": "Началось заседание, проверка остановлена.",
        "en": "A hearing began, and the check was stopped.",
    },
    "disk_good": {
        "kk": "{disk}: {free} ГиБ бос, шамамен {hours} сағ жазба; жазу {write}, оқу {read} МиБ/с (керегі {need}).",
        "ru": "{disk}: свободно {free} ГиБ, примерно {hours} ч записи; пишет {write}, читает {read} МиБ/с (нужно {need}).",
        "en": "{disk}: {free} GiB free, about {hours} h of recording; writes {write}, reads {read} MiB/s ({need} needed).",
    },
    "disk_short": {
        "kk": "{disk}: {free} ГиБ бос, шамамен {hours} сағатқа жетеді, керегі {wanted} сағ.",
        "ru": "{disk}: свободно {free} ГиБ, хватит примерно на {hours} ч, а нужно {wanted} ч.",
        "en": "{disk}: {free} GiB free, which last about {hours} h; {wanted} h are wanted.",
    },
    "disk_full": {
        "kk": "{disk} ({path}): орын жоқ, {free} ГиБ бос, шамамен {hours} сағ.",
        "ru": "{disk} ({path}): места нет, свободно {free} ГиБ, примерно {hours} ч.",
        "en": "{disk} ({path}) is full: {free} GiB free, about {hours} h.",
    },
    "disk_no_ballast": {
        "kk": "{disk}: соңғы жазбаларға арналған қор жоқ, оған орын да жоқ.",
        "ru": "{disk}: нет резерва для последних записей, и места для него нет.",
        "en": "{disk}: the reserve for the last entries is missing, and there is no room for it.",
    },
    "disk_hangs": {
        "kk": "{disk} ({path}) {seconds} с ішінде жауап бермеді.",
        "ru": "{disk} ({path}) не ответил за {seconds} с.",
        "en": "{disk} ({path}) did not answer within {seconds} s.",
    },
    "disk_refuses": {
        "kk": "{disk} ({path}) жазбайды: {error}.",
        "ru": "{disk} ({path}) не пишет: {error}.",
        "en": "{disk} ({path}) does not take what is written: {error}.",
    },
    "disk_missing": {
        "kk": "{disk}: {path} жоқ.",
        "ru": "{disk}: {path} не существует.",
        "en": "{disk}: {path} does not exist.",
    },
    "disk_closed": {
        "kk": "{disk} ({path}): бұл пайдаланушыға жазуға рұқсат жоқ, жылдамдық өлшенбеді.",
        "ru": "{disk} ({path}): этому пользователю писать нельзя, скорость не измерена.",
        "en": "{disk} ({path}): this user may not write there; its speed was not measured.",
    },
    "disk_differs": {
        "kk": "{disk} ({path}) жазылғаннан басқа деректер қайтарды.",
        "ru": "{disk} ({path}) вернул не то, что было записано.",
        "en": "{disk} ({path}) gives back other bytes than were written.",
    },
    "disk_slow": {
        "kk": "{disk}: {write} МиБ/с жазады, залға {need} МиБ/с керек.",
        "ru": "{disk}: пишет {write} МиБ/с, залу нужно {need} МиБ/с.",
        "en": "{disk} writes {write} MiB/s; the room needs {need} MiB/s.",
    },
    "mirror_behind": {
        "kk": "Екінші дискіде {count} жазбаның көшірмесі аяқталмаған (біріншісі {first}).",
        "ru": "На втором диске нет полной копии {count} записей (первая {first}).",
        "en": "The second disk lacks the whole copy of {count} record(s), the first {first}.",
    },
    "smart_missing": {
        "kk": "smartctl орнатылмаған.",
        "ru": "smartctl не установлен.",
        "en": "smartctl is not installed.",
    },
    "smart_none": {
        "kk": "{disk} ({path}): тексерілетін құрылғы табылмады.",
        "ru": "{disk} ({path}): устройство для опроса не найдено.",
        "en": "{disk} ({path}): no device to be asked was found.",
    },
    "smart_hangs": {
        "kk": "{disk} ({device}) SMART сұрауына жауап бермеді.",
        "ru": "{disk} ({device}) не ответил на запрос SMART.",
        "en": "{disk} ({device}) did not answer the SMART request.",
    },
    "smart_silent": {
        "kk": "{disk} ({device}) SMART деректерін бермейді.",
        "ru": "{disk} ({device}) не сообщает данных SMART.",
        "en": "{disk} ({device}) tells nothing by SMART.",
    },
    "smart_failing": {
        "kk": "{disk} ({device}) істен шығып барады.",
        "ru": "{disk} ({device}) сообщает о скором отказе.",
        "en": "{disk} ({device}) says that it is failing.",
    },
    "smart_worn": {
        "kk": "{disk} ({device}) қателері немесе тозу белгілері бар.",
        "ru": "{disk} ({device}): есть ошибки или признаки износа.",
        "en": "{disk} ({device}) has errors in its log, or is worn.",
    },
    "smart_good": {"kk": "{disk} ({device}) жақсы.", "ru": "{disk} ({device}) исправен.", "en": "{disk} ({device}) is well."},
    "clock_good": {
        "kk": "{source}: қате {error} мс-тан аспайды.",
        "ru": "{source}: ошибка не больше {error} мс.",
        "en": "{source}: at most {error} ms off.",
    },
    "clock_undisciplined": {
        "kk": "Сағатты ешкім дәлдемейді.",
        "ru": "Часы никто не подводит.",
        "en": "Nobody keeps the clock right.",
    },
    "clock_unbounded": {
        "kk": "Сағатты {source} дәлдейді, бірақ қатесі белгісіз.",
        "ru": "Часы подводит {source}, но ошибка неизвестна.",
        "en": "The clock is kept by {source}, and nobody knows how far it is off.",
    },
    "clock_wide": {
        "kk": "{source}: қате {error} мс-қа дейін болуы мүмкін.",
        "ru": "{source}: ошибка может достигать {error} мс.",
        "en": "{source}: it may be {error} ms off.",
    },
    "clock_apart": {
        "kk": "Сағат орталық сағатынан {seconds} с алшақ.",
        "ru": "Часы отличаются от часов центра на {seconds} с.",
        "en": "The clock differs from the centre's by {seconds} s.",
    },
    "recorder_away": {
        "kk": "Жазу бағдарламасы жауап бермейді.",
        "ru": "Программа записи не отвечает.",
        "en": "The recorder does not answer.",
    },
    "device_missing": {
        "kk": "«{label}» ({device}) құрылғысы жоқ.",
        "ru": "Нет устройства «{label}» ({device}).",
        "en": "'{label}' ({device}) is not there.",
    },
    "device_unreached": {
        "kk": "«{label}» ({device}) құрылғысымен байланыс жоқ: {host}.",
        "ru": "Нет связи с устройством «{label}» ({device}): {host}.",
        "en": "'{label}' ({device}) at {host} is not reached.",
    },
    "track_still": {
        "kk": "«{label}» ({track}) ештеңе бермейді.",
        "ru": "«{label}» ({track}) ничего не передаёт.",
        "en": "'{label}' ({track}) delivers nothing.",
    },
    "microphone_dead": {
        "kk": "«{label}» ({track}) микрофоны тек тыныштық береді ({level} dBFS).",
        "ru": "Микрофон «{label}» ({track}) даёт одну тишину ({level} dBFS).",
        "en": "Microphone '{label}' ({track}) gives digital silence ({level} dBFS).",
    },
    "room_dead": {
        "kk": "Бірде-бір микрофоннан дыбыс келмейді.",
        "ru": "Ни с одного микрофона нет звука.",
        "en": "No microphone of the room hears anything.",
    },
    "track_drifts": {
        "kk": "«{label}» ({track}) сағаты {ppm} ppm-ге ауытқиды.",
        "ru": "Часы устройства «{label}» ({track}) уходят на {ppm} ppm.",
        "en": "The clock of '{label}' ({track}) drifts by {ppm} ppm.",
    },
    "recorder_alarm": {
        "kk": "Дабыл қосулы: {code} {track} {detail}.",
        "ru": "Включена тревога: {code} {track} {detail}.",
        "en": "An alarm is on: {code} {track} {detail}.",
    },
    "capture_good": {
        "kk": "Барлық {count} арна жұмыс істейді.",
        "ru": "Все каналы ({count}) работают.",
        "en": "All {count} tracks deliver.",
    },
}

_MAKE_ROOM: Words = {
    "kk": "Жабылған жазбаларды мұрағатқа өткізіңіз, содан кейін қабылданғандарын жойыңыз немесе үлкенірек диск қойыңыз.",
    "ru": "Передайте закрытые записи в архив, затем удалите принятые им, или поставьте диск больше.",
    "en": "Hand sealed records over to the archive and delete those that it has acknowledged, or put in a larger disk.",
}
_CHANGE_DISK: Words = {
    "kk": "Кабелін тексеріңіз, `dmesg` қараңыз, дискіні ауыстырыңыз.",
    "ru": "Проверьте кабель, посмотрите `dmesg`, замените диск.",
    "en": "Check its cable, look into `dmesg`, and change the disk.",
}
_CHRONY: Words = {
    "kk": "chrony орнатып (`apt install chrony`), желідегі уақыт серверін /etc/chrony/sources.d ішінде көрсетіңіз.",
    "ru": "Установите chrony (`apt install chrony`) и укажите сервер времени сети в /etc/chrony/sources.d.",
    "en": "Install chrony (`apt install chrony`) and name the network's time server under /etc/chrony/sources.d.",
}

REMEDIES: dict[str, Words] = {
    "check_failed": {
        "kk": "Агент журналын қараңыз: `journalctl -u courtroom-agent`.",
        "ru": "Посмотрите журнал агента: `journalctl -u courtroom-agent`.",
        "en": "Look into the agent's log: `journalctl -u courtroom-agent`.",
    },
    "check_hangs": {
        "kk": "Тексерілетін бөлікті қараңыз; қайталаса, ДК-ні отырыстан тыс уақытта қайта іске қосыңыз.",
        "ru": "Осмотрите то, что проверялось; если повторится, перезапустите ПК вне заседаний.",
        "en": "Look at what was being checked; if it happens again, restart the PC between hearings.",
    },
    "check_stopped": {
        "kk": "Отырыстан кейін қайталаңыз.",
        "ru": "Повторите после заседания.",
        "en": "Run it again after the hearing.",
    },
    "disk_short": _MAKE_ROOM,
    "disk_full": _MAKE_ROOM,
    "disk_no_ballast": _MAKE_ROOM,
    "disk_hangs": _CHANGE_DISK,
    "disk_refuses": _CHANGE_DISK,
    "disk_missing": {
        "kk": "Дискіні қосып, {path} орнына тіркеңіз (mount); құрылғылар: `lsblk`.",
        "ru": "Подключите диск и смонтируйте его в {path}; устройства показывает `lsblk`.",
        "en": "Plug the disk in and mount it at {path}; `lsblk` lists what is there.",
    },
    "disk_closed": {
        "kk": "Жылдамдықты өлшеу үшін root немесе courtroom-recorder ретінде іске қосыңыз.",
        "ru": "Чтобы измерить скорость, запустите от root или courtroom-recorder.",
        "en": "To measure it, run this as root or as courtroom-recorder.",
    },
    "disk_differs": {
        "kk": "Бұл дискіні дереу ауыстырыңыз, ДК жадын тексеріңіз; ондағы жазбаларды `courtroom verify` арқылы тексеріңіз.",
        "ru": "Немедленно замените этот диск, проверьте память ПК; записи на нём проверьте командой `courtroom verify`.",
        "en": "Change this disk at once, test the PC's memory, and run `courtroom verify` on the records that lie on it.",
    },
    "disk_slow": {
        "kk": "Дискімен басқа не жұмыс істеп тұрғанын қараңыз (`iotop`); SSD немесе басқа порт қолданыңыз.",
        "ru": "Посмотрите, что ещё занимает диск (`iotop`); поставьте SSD или смените порт.",
        "en": "See what else uses it (`iotop`); take an SSD, or another port.",
    },
    "mirror_behind": {
        "kk": "Жазу бағдарламасын қосулы қалдырыңыз: ол отырыстар арасында көшіреді; екінші дискінің бос орнын тексеріңіз.",
        "ru": "Оставьте программу записи включённой: она докопирует между заседаниями; проверьте место на втором диске.",
        "en": "Leave the recorder running, which completes them between hearings; check the second disk's free room.",
    },
    "smart_missing": {
        "kk": "`apt install smartmontools`.",
        "ru": "`apt install smartmontools`.",
        "en": "`apt install smartmontools`.",
    },
    "smart_silent": {
        "kk": "root ретінде іске қосыңыз: `smartctl -H {device}`.",
        "ru": "Запустите от root: `smartctl -H {device}`.",
        "en": "Run it as root: `smartctl -H {device}`.",
    },
    "smart_hangs": _CHANGE_DISK,
    "smart_failing": {
        "kk": "Бұл дискіні келесі отырысқа дейін ауыстырыңыз.",
        "ru": "Замените этот диск до следующего заседания.",
        "en": "Change this disk before the next hearing.",
    },
    "smart_worn": {
        "kk": "`smartctl -a {device}` қараңыз, жаңа дискіге тапсырыс беріңіз.",
        "ru": "Посмотрите `smartctl -a {device}` и закажите новый диск.",
        "en": "Look at `smartctl -a {device}`, and order a new disk.",
    },
    "clock_undisciplined": _CHRONY,
    "clock_unbounded": _CHRONY,
    "clock_wide": {
        "kk": "`chronyc sources -v` қараңыз: уақыт сервері алыс немесе қолжетімсіз.",
        "ru": "Посмотрите `chronyc sources -v`: сервер времени далеко или недоступен.",
        "en": "Look at `chronyc sources -v`: the time server is far away, or not reached.",
    },
    "clock_apart": {
        "kk": "`chronyc sources -v` қараңыз; сағат дұрыс болса, орталыққа хабарлаңыз. Отырыс кезінде сағатты қолмен жылжытпаңыз.",
        "ru": "Посмотрите `chronyc sources -v`; если часы верны, сообщите в центр. Не переводите часы во время заседания.",
        "en": "Look at `chronyc sources -v`; if this clock is right, tell the centre. Never set it by hand during a hearing.",
    },
    "recorder_away": {
        "kk": f"{_SERVICE} қараңыз, содан кейін {_RESTART}.",
        "ru": f"Посмотрите {_SERVICE}, затем {_RESTART}.",
        "en": f"Look at {_SERVICE}, then {_RESTART}.",
    },
    "device_missing": {
        "kk": "Штекері мен қуатын тексеріңіз; `courtroom devices` ДК не көретінін, ал room.toml қай порт күтілетінін көрсетеді.",
        "ru": "Проверьте штекер и питание; `courtroom devices` покажет, что видит ПК, а room.toml — какой порт ожидается.",
        "en": "Check plug and power; `courtroom devices` lists what the PC sees, room.toml says which port is expected.",
    },
    "device_unreached": {
        "kk": "Қуаты мен желі кабелін тексеріңіз, `ping {host}` жасаңыз; пароль файлын тексеріңіз.",
        "ru": "Проверьте питание и сетевой кабель, выполните `ping {host}`; проверьте файл с паролем.",
        "en": "Check its power and network cable, `ping {host}`, and its password file.",
    },
    "track_still": {
        "kk": "Құрылғыны өшіріп қосыңыз; көмектеспесе, ауыстырыңыз.",
        "ru": "Выключите и включите устройство; если не поможет, замените его.",
        "en": "Switch the device off and on; if that does not help, change it.",
    },
    "microphone_dead": {
        "kk": "Микрофон өшірулі емес пе, кабелі мен фантомдық қуатын тексеріңіз; микрофонға сөйлеп көріңіз.",
        "ru": "Не выключен ли микрофон? Проверьте кабель и фантомное питание, поговорите в него.",
        "en": "Is it muted? Check its cable and phantom power, and speak into it.",
    },
    "room_dead": {
        "kk": "Микшердің шығысын және ДК-ге баратын кабельді тексеріңіз.",
        "ru": "Проверьте выход микшера и кабель к ПК.",
        "en": "Check the mixer's output and the cable to the PC.",
    },
    "track_drifts": {
        "kk": "Құрылғыны ауыстырыңыз: оның кварцы ақаулы немесе USB порты мәліметті жоғалтады.",
        "ru": "Замените устройство: неисправен кварц или USB-порт теряет данные.",
        "en": "Change the device, or its USB port: its quartz is faulty, or data gets lost.",
    },
    "recorder_alarm": {
        "kk": "Не істеу керегі техник нұсқаулығының 5-бөлімінде (docs/technician.md).",
        "ru": "Что делать, сказано в разделе 5 руководства техника (docs/technician.md).",
        "en": "Section 5 of docs/technician.md says what to do.",
    },
}  # fmt: skip


def detail(code: str, values: dict[str, str], language: Language) -> str:
    """What was found."""
    return DETAILS[code][language].format_map(values)


def remedy(code: str, values: dict[str, str], language: Language) -> str:
    """What to do; empty where nothing is to be done."""
    words = REMEDIES.get(code)
    return words[language].format_map(values) if words else ""
