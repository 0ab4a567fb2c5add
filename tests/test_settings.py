"""What a setting is when a configuration does not say it, and what it may be: fixed, as records rest on it."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from lautum.objectives import PRETRAIN, TRANSFER
from lautum.objectives.settings import SOURCES

DECLARED = json.loads((Path(__file__).parent / "settings.json").read_text(encoding="utf-8"))
SCHEMAS = {"pretrain": PRETRAIN, "transfer": TRANSFER}
FIELDS = [
    (stage, objective, name) for stage, all_ in DECLARED.items() for objective in all_ for name in all_[objective]
]


def declared() -> dict:
    """Default, bounds and unit of every setting."""
    return {
        stage: {
            objective: {
                name: {
                    "default": list(field.default) if isinstance(field.default, tuple) else field.default,
                    "bounds": {key: value for bound in field.metadata for key, value in asdict(bound).items()},
                    "unit": field.json_schema_extra["unit"],
                }
                for name, field in schema.model_fields.items()
            }
            for objective, schema in schemas.items()
        }
        for stage, schemas in SCHEMAS.items()
    }


def test_defaults_bounds_and_units_are_those_that_results_rest_on():
    assert declared() == DECLARED, "a new setting is added to tests/settings.json; a changed default is another method"


@pytest.mark.parametrize(("stage", "objective", "name"), FIELDS)
def test_values_outside_the_bounds_are_refused_and_those_on_them_taken(stage, objective, name):
    schema, bounds = SCHEMAS[stage][objective], DECLARED[stage][objective][name]["bounds"]
    for bound, value in bounds.items():
        outside = value - 1 if bound in ("ge", "gt") else value + 1
        with pytest.raises(ValidationError):
            schema(**{name: outside})
        if bound in ("ge", "le"):
            assert getattr(schema(**{name: value}), name) == value
        else:
            with pytest.raises(ValidationError):
                schema(**{name: value})


@pytest.mark.parametrize(("stage", "objective", "name"), FIELDS)
def test_every_setting_says_what_it_is_and_where_its_default_comes_from(stage, objective, name):
    field = SCHEMAS[stage][objective].model_fields[name]
    assert len(field.description) > 5
    kind, _, reason = field.json_schema_extra["source"].partition(": ")
    assert kind in SOURCES and reason


def test_objectives_say_what_they_see():
    needing = {name for name, schema in PRETRAIN.items() if schema.needs_target}
    assert needing == set(PRETRAIN) - {"source_only", "lautum_source", "untrained"}
    assert {name for name, schema in TRANSFER.items() if schema.all_labels} == {"supervised_all_labels"}
