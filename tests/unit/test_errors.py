from __future__ import annotations

import re
from collections import Counter

import casola_ocr.errors as module
from casola_ocr.errors import ObjectNotFound, all_errors, error_by_code


def test_the_tree_at_the_top_is_the_tree_of_classes() -> None:
    drawn = {
        name: (code, int(status), retry == "yes")
        for name, code, status, retry in re.findall(
            r"(\w+) +(\w+) +(\d{3}) +(yes|no)", module.__doc__ or ""
        )
    }
    real = {
        error.__name__: (error.code, error.status, error.retryable)
        for error in all_errors()
        if error.__name__ != "CasolaError" and error is not ObjectNotFound
    }
    assert drawn == real


def test_the_tree_at_the_top_hangs_every_class_below_its_parent() -> None:
    drawn = re.findall(r"^    ([│ ]*)[├└]── (\w+)", module.__doc__ or "", re.MULTILINE)
    parents = {"CasolaError": ""}
    branch = ["CasolaError"]
    for indent, name in drawn:
        del branch[1 + len(indent) // 4 :]
        parents[name] = branch[-1]
        branch.append(name)
    real = {error.__name__: error.__bases__[0].__name__ for error in all_errors()}
    assert parents | {"CasolaError": "Exception"} == real


def test_every_code_is_unique_and_every_error_says_what_to_do() -> None:
    counts = Counter(error.code for error in all_errors())
    assert [code for code, count in counts.items() if count > 1] == []
    assert all(error.advice and error.__doc__ for error in all_errors())


def test_a_stored_error_is_rebuilt_from_its_code() -> None:
    error = error_by_code("damaged_document", "cut off")
    assert isinstance(error, module.DamagedDocument)
    assert error.detail == "cut off"
    assert error_by_code("from_tomorrow", "x").detail == "x"
