"""The audit's statements as data (`datasets/paper/audit/`), and what comes of each.

A formula is a Python expression, evaluated by simpleeval: it knows the names and functions of
`formulas.py` and nothing else. A text is the inside of an f-string: what stands in braces is a
formula. No number is typed that one gives, and no verdict that one can decide.
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from simpleeval import EvalWithCompoundTypes, InvalidExpression

from stsm_cli.analysis.definition import place, read_definition
from stsm_cli.analysis.finding import Finding, FindingKind, known_facts
from stsm_cli.analysis.formulas import FUNCTIONS, NAMES
from stsm_cli.config.kinds import Section
from stsm_cli.errors import RecipeError, StsmError
from stsm_cli.resources import resource_dir

_OF_PYTHON = (SyntaxError, LookupError, ArithmeticError, AttributeError, TypeError, ValueError)
_WRONG = (InvalidExpression, StsmError, *_OF_PYTHON)
"""Errors of a wrong formula: of simpleeval, the parser, or a function that gets what it cannot."""

Formula = str
FString = str


class Case(Section):
    """Verdict of a statement under a condition."""

    when: Formula | None = None
    """The last case, for all that is left, has none."""
    kind: FindingKind
    because: FString


class Statement(Section):
    """Something the paper says, and how it is checked."""

    id: str
    where: str
    """Section, table or figure of the paper."""
    claim: FString
    quotes: tuple[str, ...] = ()
    """The paper's words; formulas find their numbers in them."""
    facts: tuple[str, ...] = ()
    """Names in `elsewhere.yaml`, each a value for formulas."""
    values: dict[str, Formula] = Field(default={})
    """Further values, each for the formulas after it."""
    printed: FString = "“{'”, “'.join(quotes)}”"
    computed: FString
    verdict: tuple[Case, ...] = Field(min_length=1)
    """The first case that is true counts."""
    read: bool = False
    """True if nothing can be computed, and the only case is what a reader makes of it."""

    @field_validator("facts")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in known_facts():
                raise ValueError(f"`elsewhere.yaml` has no fact {name}")
        return names

    @model_validator(mode="after")
    def _is_decided(self) -> "Statement":
        *conditional, last = self.verdict
        if last.when is not None or any(case.when is None for case in conditional):
            raise ValueError("every case but the last must have `when`, and the last must not")
        if self.read == bool(conditional):
            raise ValueError("a verdict of one case must say `read: true`, and no other may")
        return self


class AuditSection(Section):
    """A section of the audit, a file of `datasets/paper/audit/`."""

    heading: str
    note: FString = ""
    order: Literal["printed", "measured"] | None = None
    """Numbers on which the sentences of `order.yaml` are checked here, before the statements."""
    statements: tuple[Statement, ...] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> "AuditSection":
        ids = [statement.id for statement in self.statements]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(f"two statements are {name}")
        return self


def section_files() -> list[Path]:
    """The files of the sections, in their order."""
    return sorted((resource_dir("datasets") / "paper" / "audit").glob("*.yaml"))


@lru_cache
def load_section(path: Path) -> AuditSection:
    """The section in a file.

    Raises:
        RecipeError: The file is wrong; every problem with its line.
    """
    return read_definition(path, AuditSection)


def note_of(path: Path) -> str:
    """Text above the findings of a section; empty where there is none.

    Raises:
        RecipeError: A formula is wrong.
    """
    return _Sheet(path, "the section", (), dict(NAMES)).text(load_section(path).note, "note")


def findings(path: Path) -> list[Finding]:
    """Findings that come of the statements of a section, in their order.

    Raises:
        RecipeError: A formula is wrong.
    """
    return [evaluate(path, number) for number in range(len(load_section(path).statements))]


def evaluate(path: Path, number: int) -> Finding:
    """Finding that comes of one statement of a section.

    Raises:
        RecipeError: A formula is wrong: file, line, statement, and what is.
    """
    statement = load_section(path).statements[number]
    names = {**NAMES, "quotes": statement.quotes}
    names |= {name: known_facts()[name].value for name in statement.facts}
    sheet = _Sheet(path, statement.id, ("statements", number), names)
    for name, formula in statement.values.items():
        names[name] = sheet.value(formula, "values", name)
    at, case = next(
        (at, case)
        for at, case in enumerate(statement.verdict)
        if case.when is None or sheet.value(case.when, "verdict", at, "when")
    )
    return Finding(
        where=statement.where,
        claim=sheet.text(statement.claim, "claim"),
        printed=sheet.text(statement.printed, "printed"),
        computed=sheet.text(statement.computed, "computed"),
        kind=case.kind,
        because=sheet.text(case.because, "verdict", at, "because"),
        is_read=statement.read,
        facts=statement.facts,
    )


@dataclass(frozen=True)
class _Sheet:
    """Evaluates what stands at `keys` of a file, in the statement `name`."""

    path: Path
    name: str
    keys: tuple[int | str, ...]
    values: dict[str, Any]

    def value(self, formula: Formula, *keys: int | str) -> Any:  # noqa: ANN401
        language = EvalWithCompoundTypes(functions=dict(FUNCTIONS), names=self.values)
        try:
            # trap: left alone, simpleeval takes `a = b` for `b`, with a warning
            return language.eval(formula, ast.parse(formula.strip(), "formula", "eval").body)
        except _WRONG as error:
            where, key = place(self.path, (*self.keys, *keys)), ".".join(map(str, keys))
            rule = f"{self.name}: {key}: {type(error).__name__}: {' '.join(str(error).split())}"
            raise RecipeError(f"{where}: {rule}") from None

    def text(self, text: FString, *keys: int | str) -> str:
        return str(self.value(f'f"""{text}"""', *keys))
