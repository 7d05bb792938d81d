"""Static covariates: what is known of a customer moves the purchase rate and the drop-out.

A formula becomes columns z, and each set of columns moves the logs of some parameters by
factors that the model names: the log of alpha falls by z @ coefficients of the rate, say. What a
formula means never depends on the rows it is applied to, so that a fitted model can be kept in
JSON and applied to one customer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import formulaic
import numpy as np
import pandas as pd
from formulaic.errors import FormulaicError

from touchpoint_lib._checks import FloatArray, check_columns, check_values, fail
from touchpoint_lib.lifetime._newton import Objective

#: Functions a formula may call: none depends on other rows.
_FUNCTIONS = ("np.log", "np.log1p", "np.sqrt", "np.exp")
_WORD = re.compile(r"[^\W\d][\w.]*")
_SIGNS = re.compile(r"[\s+*:\-()~\d.^]*")
#: Spread of the weak prior that keeps a + b from running away: a factor of 20 either way.
_SPREAD = 3.0
#: Spread of a column beyond which (or below the inverse) its squares leave the floats.
_WIDEST = 1e100
#: What pandas calls the contents of columns of dtype object that hold numbers, or texts.
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
_TEXTS = ("string", "boolean", "empty")

Links = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Words:
    """What messages call the argument with the formula of a set, a row, and the frame."""

    argument: str = "{set}_covariates"
    row: str = "customer"
    #: Of a prediction; that of a fit holds the rows.
    frame: str = "covariates"

    @property
    def rows(self) -> str:
        return f"{self.row}s"

    def of(self, name: str) -> str:
        return self.argument.format(set=name)


@dataclass(frozen=True)
class Covariates:
    """Formulas by set ("rate", "dropout"), and the levels of the text columns they use."""

    formulas: Mapping[str, str]
    levels: Mapping[str, list[str]]
    columns: Mapping[str, list[str]]
    #: No field: files hold the formulas, not what they are called.
    words: ClassVar[Words] = Words()

    @classmethod
    def build(cls, frame: pd.DataFrame, formulas: Mapping[str, str]) -> Self:
        """Read the formulas on the customers that a model is fitted to.

        Raises
        ------
        InputError
            If a formula cannot be read, a column is missing or has no value, or a column of the
            design is constant or a combination of the others.
        """
        levels: dict[str, list[str]] = {}
        columns: dict[str, list[str]] = {}
        for name, formula in formulas.items():
            for column in columns_used(name, formula, frame, cls.words):
                check_filled(column, frame[column])
                if _is_text(column, frame[column]):
                    # In the order of their names, or of the categories where there are some.
                    values = pd.Categorical(frame[column]).remove_unused_categories()
                    levels[column] = _texts(column, values.categories)
                    if len(levels[column]) == 1:
                        raise fail(
                            f"column {column!r} of {cls.words.of(name)} is "
                            f"{levels[column][0]!r} for all {cls.words.rows}",
                            "leave it out: nothing can be learned from it",
                        )
        for name, formula in formulas.items():
            design = _design(name, formula, frame, levels, cls.words)
            if design.shape[1] == 0:
                raise fail(f"{cls.words.of(name)} is {formula!r}", "name at least one column")
            _check_rank(name, design, cls.words)
            columns[name] = [f"{name}[{column}]" for column in design.columns]
        return cls(dict(formulas), levels, columns)

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any], sets: set[str]) -> Self:
        """Return the covariates of a file; raise where they cannot be what a fit has written."""
        kept = cls(saved["formulas"], saved["levels"], saved["columns"])
        texts = [kept.formulas.values(), *kept.levels.values(), *kept.columns.values()]
        if (
            not set(kept.formulas) <= sets
            or list(kept.columns) != list(kept.formulas)
            or not all(isinstance(text, str) for group in texts for text in group)
            or not all(isinstance(group, list) for group in kept.levels.values())
            or any(len(set(group)) < len(group) for group in kept.levels.values())
        ):
            raise fail("the covariates of the file are damaged", "fit and save the model again")
        return kept

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return tuple(name for group in self.columns.values() for name in group)

    def matrix(self, frame: pd.DataFrame) -> FloatArray:
        """Return the design of ``frame``, a column a coefficient.

        Raises
        ------
        InputError
            If a column is missing, has no value, or a level the fit has not seen.
        """
        words = self.words
        check_columns(frame, (), words.frame)
        if len(frame) == 0:
            raise fail(f"{words.frame} has no rows", f"pass at least one {words.row}")
        parts = []
        for name, formula in self.formulas.items():
            part = _design(name, formula, frame, self.levels, words)
            if [f"{name}[{column}]" for column in part.columns] != self.columns[name]:
                raise fail(
                    f"{words.of(name)} gives {', '.join(part.columns)}, the fit had "
                    f"{', '.join(self.columns[name])}",
                    "fit the model again",
                )
            parts.append(part.to_numpy(dtype=np.float64))
        return np.hstack(parts)

    def shifts(self, links: Links) -> FloatArray:
        """Return by how much a unit of each column of the design moves the log parameters.

        Shape (4, coefficients), before the coefficients themselves.
        """
        moves = np.zeros((4, len(self.names)))
        start = 0
        for name, group in self.columns.items():
            for position, factor in links[name].items():
                moves[position, start : start + len(group)] = factor
            start += len(group)
        return moves

    def spread(self, params: FloatArray, design: FloatArray, links: Links) -> list[Any]:
        """Return the parameters of each row; those no covariate moves stay numbers."""
        k = len(params) - len(self.names)
        moves = self.shifts(links)
        spread: list[Any] = list(params[:k])
        for i in range(k):
            if not moves[i].any():
                continue
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                spread[i] = params[i] * np.exp(design @ (moves[i] * params[k:]))
            wild = ~(np.isfinite(spread[i]) & (spread[i] > 0))
            if wild.any():
                raise fail(
                    f"the covariates of {int(wild.sum())} rows move a parameter out of all bounds",
                    "look for extreme values, or take logarithms of the covariates",
                )
        return spread


def as_formula(name: str, covariates: Any, frame: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Return the formula, and the customers with the columns that it needs.

    ``covariates`` is a formula over columns of ``frame``, or a frame of covariates on the same
    index, each of which enters as it is.
    """
    if isinstance(covariates, str):
        return covariates, frame
    if not isinstance(covariates, pd.DataFrame):
        raise fail(
            f"{name}_covariates is a {type(covariates).__name__}",
            "pass a formula such as '~ channel + np.log1p(visits)', or a frame of columns",
        )
    if not covariates.index.equals(frame.index):
        raise fail(
            f"{name}_covariates has an index that differs from that of customers",
            f"pass {name}_covariates.reindex(customers.index)",
        )
    shared = [
        column
        for column in covariates.columns
        if column in frame.columns and not covariates[column].equals(frame[column])
    ]
    if shared:
        raise fail(
            f"{name}_covariates and customers differ in {', '.join(map(repr, shared))}",
            "rename one of them",
        )
    for column in covariates.columns:
        if not isinstance(column, str) or "`" in column or column == "count":
            raise fail(
                f"{name}_covariates has a column {column!r}",
                "rename it: names are text without backticks, and count weighs rows",
            )
    new = [column for column in covariates.columns if column not in frame.columns]
    formula = " + ".join(f"`{column}`" for column in covariates.columns)
    return formula, frame.assign(**{column: covariates[column].array for column in new})


def objective(
    row_derivatives: Any,
    rows: Any,
    design: FloatArray,
    moves: FloatArray,
    penalised: tuple[int, ...],
) -> Objective:
    """Return mean negative log-likelihood, gradient and Hessian in log parameters and coefficients.

    ``row_derivatives(params, rows)`` gives those of each row by its own four log parameters, and
    ``moves`` how the columns of the design shift them. The log of the sum of the ``penalised``
    parameters is held near 0 by a normal prior that is worth a fraction of one customer.
    """
    k = len(moves)
    weight, n = rows.count, float(rows.count.sum())

    def derivatives(theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        logs = theta[:k, None] + (moves * theta[k:]) @ design.T
        value, slope, curve = row_derivatives(np.exp(logs), rows)
        by_coefficient = moves.T @ (slope * weight)
        gradient = np.concatenate([slope @ weight, np.einsum("jn,nj->j", by_coefficient, design)])
        hessian = np.empty((len(theta), len(theta)))
        weighted = curve * weight
        mixed = np.einsum("ijn,jm->imn", weighted, moves)
        hessian[:k, :k] = weighted.sum(axis=2)
        hessian[:k, k:] = np.einsum("imn,nm->im", mixed, design)
        hessian[k:, :k] = hessian[:k, k:].T
        hessian[k:, k:] = np.einsum("il,imn,nl,nm->lm", moves, mixed, design, design, optimize=True)
        total = float(weight @ value)
        if penalised:
            penalty, by_log, by_logs = _penalty(theta, penalised)
            total -= penalty
            gradient -= by_log
            hessian -= by_logs
        return -total / n, -gradient / n, -hessian / n

    return derivatives


def _penalty(theta: FloatArray, at: tuple[int, ...]) -> tuple[float, FloatArray, FloatArray]:
    """Return half the square of ln(sum) over its spread, with derivatives in the logs."""
    part = np.exp(theta[list(at)])
    share, log_sum = part / part.sum(), float(np.log(part.sum()))
    gradient, hessian = np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
    gradient[list(at)] = log_sum * share / _SPREAD**2
    hessian[np.ix_(at, at)] = (
        np.outer(share, share) + log_sum * (np.diag(share) - np.outer(share, share))
    ) / _SPREAD**2
    return (log_sum / _SPREAD) ** 2 / 2, gradient, hessian


def columns_used(name: str, formula: str, frame: pd.DataFrame, words: Words) -> list[str]:
    """Return the columns a formula uses; raise where it is not a plain one."""
    argument = words.of(name)
    quoted = re.findall(r"`([^`]*)`", formula)
    plain = re.sub(r"`[^`]*`", " ", formula)
    found = _WORD.findall(plain)
    odd = [word for word in found if "." in word and word not in _FUNCTIONS]
    called = [word for word in re.findall(r"([^\W\d][\w.]*)\s*\(", plain) if word not in _FUNCTIONS]
    if odd or called or not _SIGNS.fullmatch(_WORD.sub("", plain)):
        culprit = (odd + called or [formula])[0]
        raise fail(
            f"{argument} has {culprit!r}",
            "a formula may join columns by +, : and *, and call "
            f"{', '.join(_FUNCTIONS)}; make other columns first",
        )
    used = [word for word in found if word not in _FUNCTIONS] + quoted
    outside = plain
    while (inner := re.sub(r"np\.\w+\([^()]*\)", " ", outside)) != outside:
        outside = inner
    if "-" in outside or "~" in outside.strip()[1:] or "Intercept" in used:
        raise fail(
            f"{argument} is {formula!r}",
            "join columns by +, : and *; an intercept is always there",
        )
    missing = [column for column in used if column not in frame.columns]
    if missing:
        raise fail(
            f"{words.rows} has no column {', '.join(map(repr, missing))}, which the formula of "
            f"{argument} names",
            f"join the covariates to the frame of {words.rows}",
        )
    used = list(dict.fromkeys(used))
    check_columns(frame, used, words.rows)
    for column in used:
        kind = getattr(frame[column].dtype, "kind", "O")
        if kind in "mM":
            raise fail(f"{column!r} holds dates or durations", "make a number or a text of it")
    return used


def check_filled(name: str, column: pd.Series) -> None:
    """Raise where a value of ``column`` is missing."""
    missing = np.flatnonzero(column.isna())
    if missing.size:
        raise fail(
            f"{name} is missing at index {column.index[missing[0]]!r} ({missing.size} such values)",
            "fill or remove them",
        )


def as_text(name: str, column: pd.Series) -> pd.Series:
    """Return values, none of them missing, as texts: 1.0 as 1, whatever their dtype.

    Raises
    ------
    InputError
        If two values that differ have one text, such as 1 and "1".
    """
    codes, values = pd.factorize(column)
    texts = np.array(_texts(name, values), dtype=object)
    return pd.Series(texts[codes], index=column.index, dtype=object)


def _texts(name: str, values: Any) -> list[str]:
    """Return the texts of values that differ; raise where two texts do not."""
    first: dict[str, Any] = {}
    for value in values:
        whole = isinstance(value, float | np.floating) and float(value).is_integer()
        text = str(int(value)) if whole else str(value)
        if text in first:
            raise fail(
                f"{name} holds both {first[text]!r} and {value!r}", "make all of it texts, or none"
            )
        first[text] = value
    return list(first)


def _is_text(name: str, column: pd.Series) -> bool:
    if column.dtype != object:
        return not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))
    kind = pd.api.types.infer_dtype(column)
    if kind not in _NUMBERS + _TEXTS:
        raise fail(
            f"{name!r} is object, neither numeric nor text (it holds {kind} values)",
            "convert it to numbers or to texts first",
        )
    return kind in _TEXTS


def _design(
    name: str,
    formula: str,
    frame: pd.DataFrame,
    levels: Mapping[str, list[str]],
    words: Words,
) -> pd.DataFrame:
    """Return the columns of a formula without an intercept, every value checked."""
    data: dict[str, Any] = {}
    for column in columns_used(name, formula, frame, words):
        values = frame[column]
        check_filled(column, values)
        if column not in levels:
            data[column] = check_values(column, values, index=frame.index)
            continue
        text = as_text(column, values)
        strange = np.flatnonzero(~text.isin(levels[column]))
        if strange.size:
            raise fail(
                f"{column} is {text.iloc[strange[0]]!r} at index {frame.index[strange[0]]!r}, "
                "which the fit has not seen",
                f"the model knows {', '.join(levels[column])}",
            )
        data[column] = pd.Categorical(text, categories=levels[column])
    try:
        with np.errstate(all="ignore"):
            matrix = formulaic.model_matrix(
                formula,
                pd.DataFrame(data, index=frame.index),
                context={"np": np},
                na_action="ignore",
            )
    except FormulaicError as error:
        # The message comes coloured, and over several lines.
        reason = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error)).split())
        raise fail(
            f"{words.of(name)} {formula!r} cannot be read ({reason})", "correct it"
        ) from None
    design = pd.DataFrame(matrix, index=frame.index).drop(columns="Intercept", errors="ignore")
    for column in design.columns:
        check_values(f"{column} of {words.of(name)}", design[column], index=frame.index)
    return design


def _check_rank(name: str, design: pd.DataFrame, words: Words) -> None:
    """Raise where a column is constant, out of all bounds, or follows from the others."""
    values = design.to_numpy(dtype=np.float64)
    size = np.abs(values).max(axis=0)
    values = values / np.where(size > 0, size, 1.0)
    spread = values.std(axis=0)
    flat = spread <= 1e-12
    if flat.any():
        raise fail(
            f"{design.columns[flat.argmax()]!r} of {words.of(name)} is the same for all "
            f"{words.rows}",
            "leave it out: nothing can be learned from it",
        )
    wild = (size * spread > _WIDEST) | (size * spread < 1 / _WIDEST)
    if wild.any():
        worst = int(wild.argmax())
        raise fail(
            f"{design.columns[worst]!r} of {words.of(name)} reaches {size[worst]:g}, in a unit "
            "whose squares no float can hold",
            f"rescale it: its spread must be between {1 / _WIDEST:g} and {_WIDEST:g}",
        )
    scaled = (values - values.mean(axis=0)) / spread
    correlation = scaled.T @ scaled / len(scaled)
    for j in range(1, len(correlation)):
        share = np.linalg.lstsq(correlation[:j, :j], correlation[:j, j], rcond=None)[0]
        if 1 - share @ correlation[:j, j] < 1e-10:
            raise fail(
                f"{design.columns[j]!r} of {words.of(name)} follows from the columns before it",
                "leave it out",
            )
