"""YAML 1.2 as plain data: mappings, tuples, text, numbers, true, false and null; each what stands in the file.

libyaml splits the text, through PyYAML; what a plain word means is the core schema of YAML 1.2.2, section 10.3.2.
PyYAML's own loaders follow YAML 1.1, where 010 is 8 and `yes` is true, and let the last of two equal keys win.
ruamel.yaml reads YAML 1.2 in Python alone (0.19.1: 37 ms for config/config.yaml instead of 1, and 42 ms to import, in
every job) and, like PyYAML, follows aliases that contain themselves or grow without end, reads dates, and fails with
Python's own errors at long integers and deep lists.
"""

import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lautum.errors import LautumError

Event = Any  # of yaml, whose classes have attributes of their own
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML was built with it: ten times faster
LARGEST = 2**20  # bytes of a file
MOST = 100_000  # values of a file, each counted as often as an alias repeats it
DEEPEST = 20  # mappings and lists within each other
LONGEST = 18  # characters of an integer; all fit into 64 bits
WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def read(path: Path) -> object:
    """What the file holds; None for an empty one.

    Raises OSError when it cannot be read, LautumError when it is no YAML, repeats a key, or is larger, deeper or longer
    than the limits above.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise LautumError("it is not a file")
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise LautumError(f"it has more than {LARGEST} bytes")
    try:
        return parse(content.decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise LautumError(" ".join(str(error).split())) from None


def parse(text: str) -> object:
    """The values of a text. Raises yaml.YAMLError where it is no YAML, LautumError for what is not supported."""
    return _Document(yaml.parse(text, Loader=LOADER)).content()


class _Document:
    """The values of a file, made from the events of libyaml."""

    def __init__(self, events: Iterator[Event]):
        self.events = events
        self.anchors: dict[str, tuple[object, int, int]] = {}  # value, how many values are in it, how deep
        self.count = self.deepest = 0

    def content(self) -> object:
        """The one value of the file."""
        next(self.events)  # the stream begins
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self.events), ())
        next(self.events)  # the document ends
        if not isinstance(last := next(self.events), yaml.StreamEndEvent):
            raise self._refusal(last, (), "a second document begins")
        return value

    def _value(self, event: Event, where: tuple[str, ...]) -> object:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self._refusal(event, where, f"*{event.anchor} names nothing that ends before it")
            value, count, depth = self.anchors[event.anchor]
            self._grow(event, where, count, len(where) + depth)
            return value
        if event.tag is not None and event.tag != "!":
            raise self._refusal(event, where, f"a tag ({event.tag}) is not allowed")
        counted, deepest, self.deepest = self.count, self.deepest, len(where)
        self._grow(event, where, 1, len(where))
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, where)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = tuple(self._items(where))
        else:
            value = self._mapping(where)
        if event.anchor is not None:
            self.anchors[event.anchor] = value, self.count - counted, self.deepest - len(where)
        self.deepest = max(self.deepest, deepest)
        return value

    def _items(self, where: tuple[str, ...]) -> Iterator[object]:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            yield self._value(event, (*where, "-"))

    def _mapping(self, where: tuple[str, ...]) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refusal(event, where, "a key must be text")
            key = event.value
            if CONTROL.search(key):
                raise self._refusal(event, where, "a control character is not allowed in a key")
            if key in values:
                raise self._refusal(event, (*where, key), "the key is repeated")
            values[key] = self._value(next(self.events), (*where, key))
        return values

    def _scalar(self, event: Event, where: tuple[str, ...]) -> object:
        text = event.value
        if CONTROL.search(text):
            raise self._refusal(event, where, "a control character is not allowed")
        if not event.implicit[0]:  # quoted
            return text
        if text in WORDS:
            return WORDS[text]
        if INTEGER.fullmatch(text):
            if len(text) > LONGEST:
                raise self._refusal(event, where, f"an integer has at most {LONGEST} digits, got {len(text)}")
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if FLOAT.fullmatch(text):
            return float(text)
        if match := NOT_FINITE.fullmatch(text):
            return float(f"{match[1]}inf") if match[2] else math.nan
        return text

    def _grow(self, event: Event, where: tuple[str, ...], count: int, depth: int) -> None:
        self.count, self.deepest = self.count + count, max(self.deepest, depth)
        if self.count > MOST:
            raise self._refusal(event, where, f"more than {MOST} values")
        if self.deepest > DEEPEST:
            raise self._refusal(event, where, f"more than {DEEPEST} mappings and lists within each other")

    def _refusal(self, event: Event, where: tuple[str, ...], reason: str) -> LautumError:
        key = f" ({shown if len(shown := '.'.join(where)) <= 100 else shown[:100] + '...'})" if where else ""
        return LautumError(f"line {event.start_mark.line + 1}{key}: {reason}")
