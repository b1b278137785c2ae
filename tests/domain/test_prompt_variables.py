"""Placeholders of a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.prompt_variables import fill


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("Greet {{name}}.", "Greet Jane."),
        ("Greet {{ name }} and {{name}}.", "Greet Jane and Jane."),
        ("Greet {{nobody}}.", "Greet ."),
        ("{name} {{}} {{1x}} {{ }}", "{name} {{}} {{1x}} {{ }}"),
    ],
)
def test_a_placeholder_takes_the_variables_value(prompt: str, filled: str) -> None:
    assert fill(prompt, {"name": "Jane"}) == filled


def test_a_value_is_not_searched_for_placeholders() -> None:
    assert fill("{{a}}", {"a": "{{b}}", "b": "secret"}) == "{{b}}"


@given(prompt=st.text(), value=st.text())
def test_any_value_goes_in_as_it_is(prompt: str, value: str) -> None:
    assert fill("<{{x}}>", {"x": value}) == f"<{value}>"
    if "{{" not in prompt:
        assert fill(prompt, {"x": value}) == prompt
