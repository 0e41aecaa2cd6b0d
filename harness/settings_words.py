"""What is wrong with a setting, by its name, in words for who writes it into a file or a variable.

pydantic and pydantic-settings speak of Python's types and, of a variable, name its first part only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

# In what pydantic-settings says of a variable that is no JSON.
_FIELD: Final = re.compile(r'for field "(\w+)"')
_LONGEST_SHOWN: Final = 200
_NOT_JSON: Final = 'is not JSON: write lists as ["a", "b"], maps as {"a": "b"}'
# By pydantic's own name of the error (pydantic 2, docs/errors/validation_errors.md).
_WORDS: Final = {
    "extra_forbidden": "there is no such setting",
    "string_type": "should be text: put it in quotes",
    "path_type": "should be a path, in quotes",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "dict_type": 'should be a map: {"a": "b"}',
}


def problems(error: ValidationError, *, prefix: str) -> dict[str, str]:
    """By setting, what is wrong with it.

    Args:
        error: What pydantic found.
        prefix: What stands before the settings' names in variables.
    """
    return {".".join(map(str, one["loc"])) or "settings": _told(one, prefix) for one in error.errors()}


def _told(problem: ErrorDetails, prefix: str) -> str:
    kind, given = problem["type"], problem["input"]
    if kind == "tuple_type":
        example = f'["{given}"]' if isinstance(given, str | int) and len(str(given)) <= _LONGEST_SHOWN else '["a", "b"]'
        return f"should be a list: {example} (a variable in a shell: '{example}')"
    if kind == "model_type":
        name = ".".join(map(str, problem["loc"]))
        return f"has parts: set them in [tool.harness.{name}], or each as {prefix}{name.upper()}__NAME"
    # One of our validators says it in our words; pydantic's sentences begin with "Input should".
    return _WORDS.get(kind) or problem["msg"].removeprefix("Value error, ").removeprefix("Input ")


def not_json(
    error: SettingsError, *, prefix: str, fields: Mapping[str, FieldInfo], environ: Mapping[str, str]
) -> dict[str, str]:
    """What to write into a variable that is no JSON, by its name: pydantic-settings names its field only.

    Args:
        error: What pydantic-settings found.
        prefix: What stands before the settings' names in variables.
        fields: The settings.
        environ: The environment.
    """
    found = _FIELD.search(str(error))
    if found is None or found[1] not in fields:
        return {"environment": f'{error}; write lists and maps as JSON, such as ["a", "b"]'}
    variable, kind = prefix + found[1].upper(), fields[found[1]].annotation
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {variable: _NOT_JSON}
    lists = {f"{variable}__{name.upper()}" for name, field in kind.model_fields.items() if _is_list(field)}
    wrong = [name for name in environ if name.upper() in lists and not _is_json(environ[name])]
    if wrong:
        return dict.fromkeys(sorted(wrong), _NOT_JSON)
    return {variable: f"is not JSON: set its parts by themselves, as {variable}__NAME, or all of it as a map"}


def _is_list(field: FieldInfo) -> bool:
    kind: Any = field.annotation
    return getattr(kind, "__origin__", None) is tuple


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
