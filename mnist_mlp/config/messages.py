"""A fault of params.yaml as one line: the key, what was found there, what is allowed."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from mnist_mlp.errors import printable


def line(error: Any, keys_at: Callable[[tuple[int | str, ...]], str]) -> str:
    """Return the line for one of pydantic's errors. keys_at: the keys that are allowed at a place."""
    where = ""
    for part in error["loc"]:
        if isinstance(part, int):
            where += f"[{part}]"
        elif part != "[key]":
            where += f".{part}" if where else part
    where = re.sub(r"\.(constrained-)?(float|int|str|literal\[.*?\])$", "", where)  # the union's member tried
    if error["type"] == "value_error" and not where:
        return printable(str(error["ctx"]["error"]))
    if error["type"] == "missing":
        return printable(f"{where}: missing; write it ({_needs(where)})")
    if error["type"] == "extra_forbidden":
        return printable(f"{where}: unknown key; allowed there: {keys_at(error['loc'])}")
    if error["type"].startswith("model_") and len(error["loc"]) == 1:
        return printable(
            f"{where}: unknown key; allowed there: {keys_at(error['loc'])}, or a study, which is a mapping"
        )
    return printable(f"{where}: found {show(error['input'])}; allowed: {allowed(error, where)}")


def allowed(error: Any, where: str = "") -> str:
    """Return what one of pydantic's errors says is allowed, in a few words. where: the key, if there is one."""
    context = error.get("ctx", {})
    if where.endswith("learning_rate"):
        return "`default`, or a number above 0 and at most 1000"
    if error["type"] == "value_error":
        return str(context["error"])
    texts = {
        "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
        "finite_number": "a finite number", "string_type": "a text", "bool_type": "true or false",
        "tuple_type": "a list, such as [0, 1]" if where.endswith("seeds") else "a list",
        "dict_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping",
        "greater_than_equal": f"at least {context.get('ge')}", "greater_than": f"above {context.get('gt')}",
        "less_than_equal": f"at most {context.get('le')}", "less_than": f"below {context.get('lt')}",
        "literal_error": str(context.get("expected", "")).replace("'", "").replace(" or ", ", "),
        "too_short": f"at least {context.get('min_length')} of them",
        "too_long": f"at most {context.get('max_length')} of them",
        "string_pattern_mismatch": "64 hexadecimal digits",
    }  # fmt: skip
    return texts.get(error["type"], error["msg"])


def misread(value: Any, where: str = "", seen: set[int] | None = None) -> Iterator[str]:
    """Yield a line for each key that YAML reads as no text, and for each text with a `${`, which `-S` would replace.

    seen: the ids of the collections that were read, since YAML's aliases may close a circle."""
    seen = set() if seen is None else seen
    if isinstance(value, str) and "${" in value:
        plain = re.sub(r"\$\{(\w+)\}(?!\w)", r"$\1", value)
        instead = "$NAME" if "${" in plain else plain
        yield printable(f"{where}: found {show(value)}; allowed: no ${{ (`-S` would replace it); write {instead}")
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    seen.add(id(value))
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict) and not isinstance(key, str):
            text = "null" if key is None else str(key).lower() if isinstance(key, bool) else show(key)
            yield printable(f'{where}: found the key {text}, no text; allowed: a text; quote it, as in "{text}": ...')
        place = f"{where}[{key}]" if isinstance(value, list) else f"{where}.{key}".lstrip(".")
        yield from misread(inner, place, seen)


def show(value: Any) -> str:
    """Return a value as a person would write it, shortened."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    if value is None:
        return "nothing"
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def _needs(where: str) -> str:
    parent, _, key = where.rpartition(".")
    return f"`{key}: ...` under {parent}" if parent else f"`{key}: ...`, see the comments there"
