"""Checking property by property says what the whole validator says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hydro_hooks import schema
from hydro_hooks.errors import InvalidEventError
from hydro_hooks.validation import Validation

SEPARABLE: dict[str, Any] = {
    "title": "separable",
    "type": "object",
    "required": ["a"],
    "additionalProperties": {"type": "string"},
    "$defs": {"short": {"type": "string", "maxLength": 2}},
    "properties": {
        "a": {"type": "integer", "maximum": 1},
        "b": {"$ref": "#/$defs/short"},
        "c": {"type": ["boolean", "null"]},
        "d": {"type": "array", "items": {"type": "integer"}, "maxItems": 1},
        "e": False,
    },
}
CLOSED = {**SEPARABLE, "title": "closed", "additionalProperties": False}
OPEN = {key: value for key, value in SEPARABLE.items() if key != "additionalProperties"}
CONDITIONAL = {**OPEN, "title": "conditional", "dependentRequired": {"b": ["c"]}}
UNTYPED = {key: value for key, value in OPEN.items() if key != "type"}
DOCUMENTS = [SEPARABLE, CLOSED, OPEN, CONDITIONAL, UNTYPED]

values: st.SearchStrategy[Any] = st.sampled_from(
    [0, 1, 2, 1.0, 1.5, True, False, None, "", "x", "xyz", [], [1], ["x"], [1, 2], {}]
)
objects = st.dictionaries(st.sampled_from("abcdef"), values)


def fits(checked: Validation, value: Any) -> bool:
    try:
        checked.check(value)
    except InvalidEventError:
        return False
    return True


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_what_fits_is_what_the_whole_validator_lets_pass(number: int) -> None:
    document = DOCUMENTS[number]
    whole = Draft202012Validator(document)
    checked = Validation(document, name="x", place="x")

    @settings(max_examples=300, deadline=None)
    @given(value=objects | values)
    def check(value: Any) -> None:
        assert fits(checked, value) == whole.is_valid(value)

    check()


def test_equal_values_of_other_types_are_not_taken_for_each_other() -> None:
    document = {"title": "x", "type": "object", "properties": {"a": {"const": 1}}}
    checked = Validation(document, name="x", place="x")

    assert fits(checked, {"a": 1})
    assert fits(checked, {"a": 1.0})
    assert not fits(checked, {"a": True})


def test_a_packaged_schema_still_names_the_field_at_fault() -> None:
    value = {"eventId": "x"}

    with pytest.raises(InvalidEventError) as invalid:
        schema.load("jira.v1.Action").check(value)

    assert invalid.value.schema == "jira.v1.Action"
