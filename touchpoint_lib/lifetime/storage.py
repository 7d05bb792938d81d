"""Models from a file, and from the lifetimes package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchpoint_lib._checks import fail
from touchpoint_lib._files import read_model, undamaged
from touchpoint_lib.lifetime._base import FORMAT, FORMAT_VERSION, LifetimeModel
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel
from touchpoint_lib.lifetime.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel
from touchpoint_lib.lifetime.spend import GammaGammaModel
from touchpoint_lib.lifetime.subscription import BetaDiscreteWeibullModel, ShiftedBetaGeoModel

_MODELS: dict[str, type[LifetimeModel]] = {
    model.__name__: model
    for model in (
        BetaGeoModel,
        ModifiedBetaGeoModel,
        ParetoNBDModel,
        BetaGeoBetaBinomModel,
        GammaGammaModel,
        ShiftedBetaGeoModel,
        BetaDiscreteWeibullModel,
    )
}
#: Fitters of lifetimes, with the names it gives to the parameters in our order.
_FITTERS: dict[str, tuple[type[LifetimeModel], tuple[str, ...]]] = {
    "BetaGeoFitter": (BetaGeoModel, ("r", "alpha", "a", "b")),
    "ModifiedBetaGeoFitter": (ModifiedBetaGeoModel, ("r", "alpha", "a", "b")),
    "ParetoNBDFitter": (ParetoNBDModel, ("r", "alpha", "s", "beta")),
    "BetaGeoBetaBinomFitter": (BetaGeoBetaBinomModel, ("alpha", "beta", "gamma", "delta")),
    "GammaGammaFitter": (GammaGammaModel, ("p", "q", "v")),
}


def load_model(path: str | Path) -> LifetimeModel:
    """Return the model that ``save`` wrote to ``path``.

    Raises
    ------
    InputError
        If the file is missing, is not such a file, or was written in another format version.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import touchpoint_lib as tp
    >>> model = tp.BetaGeoModel.from_params([0.243, 4.414, 0.793, 2.426], unit="W")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.json"
    ...     model.save(path)
    ...     tp.load_model(path)
    BetaGeoModel(r=0.243, alpha=4.414, a=0.793, b=2.426, unit=weeks)
    """
    content = read_model(path, FORMAT, FORMAT_VERSION)
    return from_content(content, str(path))


def from_content(content: Mapping[str, Any], where: str) -> LifetimeModel:
    """Return the model that a file ``where`` holds as ``content``."""
    if not isinstance(content.get("model"), str) or content["model"] not in _MODELS:
        raise fail(
            f"{where!r} holds a {content.get('model')!r}",
            f"this library knows {', '.join(_MODELS)}",
        )
    with undamaged(where):
        return _MODELS[content["model"]]._from_saved(content)


def from_lifetimes(fitter: Any, unit: str | None = None) -> LifetimeModel:
    """Return the model at the estimates of a fitted lifetimes fitter.

    The fitter's log-likelihood and errors are not taken over (lifetimes reports them on another
    scale); fit the model itself for intervals.

    Parameters
    ----------
    fitter : fitter of lifetimes
        A fitted BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter, BetaGeoBetaBinomFitter or
        GammaGammaFitter.
    unit : {"D", "W"}, optional
        Unit of the times that it was fitted on (BG/BB takes "M" and "Y" too).

    Raises
    ------
    InputError
        If the fitter is of another kind or was not fitted.

    Examples
    --------
    >>> import warnings
    >>> import touchpoint_lib as tp
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # lifetimes warns when it is imported
    ...     from lifetimes import BetaGeoFitter
    ...     customers = tp.rfm_summary(tp.load_cdnow(sample=True))
    ...     fitter = BetaGeoFitter().fit(
    ...         customers["frequency"], customers["recency"], customers["T"]
    ...     )
    >>> tp.from_lifetimes(fitter, unit="W").params_.round(2).to_dict()
    {'r': 0.25, 'alpha': 5.45, 'a': 0.61, 'b': 2.65}
    """
    kind = type(fitter).__name__
    if kind not in _FITTERS:
        raise fail(f"fitter is a {kind}", f"it must be one of {', '.join(_FITTERS)}")
    model, names = _FITTERS[kind]
    try:
        params = [fitter.params_[name] for name in names]
    except (AttributeError, KeyError, TypeError, IndexError):
        raise fail(f"the {kind} was not fitted", "call its fit first") from None
    return model.from_params(params, unit)
