"""What every schema of the suite shares: of configurations, of hyper-parameters, and of the files that jobs write."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lautum.errors import Damaged, LautumError, nearest
from lautum.files import write_json

Model = TypeVar("Model", bound=BaseModel)


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


def first_complaint(error: ValidationError) -> str:
    """The first of pydantic's complaints as one line: where, what, and the value when it is short."""
    complaint = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in complaint["loc"])
    message = complaint["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    message = message if len(message) <= 500 else f"{message[:500]}..."
    value = complaint.get("input")
    told = complaint["type"] in ("value_error", "json_invalid") or isinstance(value, dict) or len(repr(value)) > 100
    shown = "" if told else f", got {value!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {message}{shown}{more}" if where else f"{message}{shown}{more}"


def read(path: Path, model: type[Model], what: str, remedy: str = "run again") -> Model:
    """The content of a JSON file as a `model`, in which a number written as text is no number.

    Raises LautumError when the file is missing, Damaged when it is not `what` ("a split", ...), with `remedy` as the
    advice.
    """
    try:
        return model.model_validate_json(Path(path).read_bytes(), strict=True)
    except FileNotFoundError:
        raise LautumError(f"{path} does not exist; {remedy}") from None
    except ValidationError as error:
        raise Damaged(path, f"{path} is not {what} ({first_complaint(error)}); {remedy}") from None


def write(path: Path, value: BaseModel) -> None:
    """Write `value` atomically as indented JSON with sorted keys; NaN is refused because JSON has none."""
    write_json(path, value.model_dump(mode="json"))
