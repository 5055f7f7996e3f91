"""On which line each key of a TOML document stands. ``tomllib`` gives values without places; a mistake without its place is half a report.

Pure. Reads documents that ``tomllib`` has accepted (TOML 1.0.0), so it needs to find ends of values, not to judge them.
"""

Place = tuple[str | int, ...]
"""Path of a value: keys, and positions in arrays counted from 0."""


def lines(text: str) -> dict[Place, int]:
    """The line, counted from 1, of every table, key and array element of a valid document."""
    return _Scanner(text).scan()


def nearest(places: dict[Place, int], place: Place) -> int | None:
    """The line of a place, or of the closest table that holds it where the place itself is not written; None for the document."""
    while place:
        if place in places:
            return places[place]
        place = place[:-1]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._places: dict[Place, int] = {}
        self._elements: dict[Place, int] = {}

    def scan(self) -> dict[Place, int]:
        prefix: Place = ()
        while self._skip_blank():
            if self._peek() == "[":
                prefix = self._header()
            else:
                self._key_and_value(prefix)
        return self._places

    def _header(self) -> Place:
        line = self._line
        is_array = self._text.startswith("[[", self._at)
        self._step(2 if is_array else 1)
        keys = self._keys("]")
        self._step(2 if is_array else 1)
        place: Place = ()
        for position, key in enumerate(keys):
            place = (*place, key)
            if is_array and position == len(keys) - 1:
                self._elements[place] = self._elements.get(place, -1) + 1
                self._places.setdefault(place, line)
            if place in self._elements:
                place = (*place, self._elements[place])
            self._places.setdefault(place, line)
        return place

    def _key_and_value(self, prefix: Place) -> None:
        line = self._line
        place = prefix
        for key in self._keys("="):
            place = (*place, key)
            self._places.setdefault(place, line)
        self._step(1)
        self._value(place)

    def _keys(self, end: str) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip_spaces()
            if self._peek() in "\"'":
                keys.append(self._string())
            else:
                start = self._at
                while self._peek() not in f". \t{end}":
                    self._step(1)
                keys.append(self._text[start : self._at])
            self._skip_spaces()
            if self._peek() == end:
                return keys
            self._step(1)

    def _value(self, place: Place) -> None:
        self._skip_spaces()
        first = self._peek()
        if first in "\"'":
            self._string()
        elif first == "[":
            self._step(1)
            index = 0
            while self._skip_blank() and self._peek() != "]":
                self._places.setdefault((*place, index), self._line)
                self._value((*place, index))
                index += 1
                if self._skip_blank() and self._peek() == ",":
                    self._step(1)
            self._step(1)
        elif first == "{":
            self._step(1)
            while self._skip_blank() and self._peek() != "}":
                self._key_and_value(place)
                if self._skip_blank() and self._peek() == ",":
                    self._step(1)
            self._step(1)
        else:
            while self._peek() not in ",]}#\n":
                self._step(1)

    def _string(self) -> str:
        quote = self._peek()
        if self._text.startswith(quote * 3, self._at):
            self._step(3)
            start = self._at
            while not self._text.startswith(quote * 3, self._at):
                self._step(2 if quote == '"' and self._peek() == "\\" else 1)
            # Up to two quotes may stand directly before the closing three.
            while self._text.startswith(quote * 4, self._at):
                self._step(1)
            content = self._text[start : self._at]
            self._step(3)
            return content
        self._step(1)
        start = self._at
        while self._peek() != quote:
            self._step(2 if quote == '"' and self._peek() == "\\" else 1)
        content = self._text[start : self._at]
        self._step(1)
        return content

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else "\n"

    def _step(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _skip_spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _skip_blank(self) -> bool:
        """Pass white space, line ends and comments; whether anything follows."""
        while self._at < len(self._text):
            if self._text[self._at] in " \t\r\n":
                self._step(1)
            elif self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return True
        return False
