"""What every schema of the suite shares: of configurations, of hyper-parameters, and of the files that jobs write."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import from_json

from lautum.errors import Damaged, LautumError, described, nearest, place
from lautum.files import read_bytes, write_json

Model = TypeVar("Model", bound=BaseModel)
SEAL = "content_sha256"  # in every file that `write` writes: hex, of all the rest of it


class Strict(BaseModel):
    """Frozen; a key that does not exist is refused with the nearest one that does.

    So is a value of another type (true is no 1, "3" no 3; an integer is a real number, too) and what is not finite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values):
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}{nearest(key, cls.model_fields)}")
        return values


def validated(model: type[Model], values: object) -> Model:
    """`values` as a `model`; raises ValidationError as pydantic does, LautumError for a mistake in a plugin's check."""
    try:
        return model.model_validate(values)
    except ValidationError:
        raise
    except Exception as error:
        if not (where := place(error, [model.__module__])):
            raise
        raise LautumError(f"{where}{described(error)}") from error


def first_complaint(error: ValidationError) -> str:
    """The first of pydantic's complaints as one line: where, what, and the value when it is short."""
    complaint = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in complaint["loc"] if not str(part).startswith("("))  # no kinds of unions
    message = complaint["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    message = message if len(message) <= 500 else f"{message[:500]}..."
    value = complaint.get("input")
    told = complaint["type"] in ("value_error", "json_invalid") or isinstance(value, dict) or len(repr(value)) > 100
    shown = "" if told else f", got {value!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {message}{shown}{more}" if where else f"{message}{shown}{more}"


def read(path: Path, model: type[Model], what: str, remedy: str = "run again") -> Model:
    """What `write` wrote, as a `model` in which a number written as text is no number.

    Raises LautumError when the file is missing, Damaged when it is not `what` ("a split", ...) or was altered, with
    `remedy` as the advice.
    """
    try:
        content = from_json(read_bytes(path, remedy), allow_inf_nan=False)
        expected = content.pop(SEAL, None) if isinstance(content, dict) else None
        value = model.model_validate(content, strict=True)
        found = _sha256(content)
    except ValidationError as error:
        raise Damaged(path, f"{path} is not {what} ({first_complaint(error)}); {remedy}") from None
    except LautumError:
        raise
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise Damaged(path, f"{path} is not {what} (invalid JSON: {error}); {remedy}") from None
    if found != expected:
        raise Damaged(path, f"{path} is damaged: its content does not have the SHA-256 written in it; {remedy}")
    return value


def write(path: Path, value: BaseModel) -> None:
    """Write `value` and the SHA-256 of it atomically as indented JSON with sorted keys.

    NaN is refused because JSON has none.
    """
    content = value.model_dump(mode="json")
    write_json(path, content | {SEAL: _sha256(content)})


def require_expected(path: Path, found: BaseModel | Mapping, expected: Mapping, remedy: str = "run again") -> None:
    """Raise Damaged unless a file says of itself what is expected where it lies: its seed, its key, ...

    A whole file in another's place is as wrong as a damaged one, and no hash of its content would tell.
    """
    said = dict(found)
    for name, value in expected.items():
        if said.get(name) != value:
            raise Damaged(path, f"{path} belongs elsewhere: {name} is {said.get(name)!r}, expected {value!r}; {remedy}")


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
