"""What an instrument declares about itself, and the registry that orders instruments by what they need.

Adding one: write a module in `analyzers/instruments/` with a decorated function. It is found there.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from analyzers.features import FEATURES_VERSION
from data.errors import BadParameter, WorkbenchError

INSTRUMENTS = "analyzers.instruments"  # every module of this package is searched

Scope = Literal["checkpoint", "trajectory"]
Kind = Literal["weights", "activations", "attention", "outputs", "artifacts", "history"]


@dataclass(frozen=True)
class Output:
    """One named array of an instrument. `dims` leaves out `epoch` for the scope "checkpoint"."""

    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = ""


@dataclass(frozen=True)
class Analyzer:
    """A pure, versioned instrument.

    name        of the artifact; version goes up whenever the numbers may change
    scope       "checkpoint": compute(features, **parameters), once per checkpoint;
                "trajectory": compute(run, **parameters), once per variant
    kind        the heaviest thing it reads: weights, activations, attention, outputs, artifacts (of `needs`
                only), history
    outputs     the arrays that compute returns; it may also return coordinates under the name of a dimension
                and, for the scope "trajectory", texts for the dataset's attributes under "attrs"
    needs       other instruments, read as features.need(name, output) (at the same epoch) or
                run.artifact(name)
    needs_final other instruments of scope "checkpoint" whose result at the run's last checkpoint is applied
                to every epoch, read as features.final(name, output)
    parameters  names and defaults; part of the artifact's key
    formula, source, protocol, caveats   what is measured, who defined it, how it is done here, what misleads
    requires    what the family must provide (`analyzers.task.CAPABILITIES`)
    stored      False: fast enough to be computed whenever it is asked for
    standard    False: too slow to run unless it is asked for by name
    at_most     run on that many checkpoints at most, spread evenly over log(1 + epoch); 0: on all
    """

    name: str
    version: int
    scope: Scope
    kind: Kind
    title: str
    outputs: Mapping[str, Output]
    compute: Callable[..., Mapping[str, Any]]
    formula: str
    source: str
    protocol: str
    caveats: str = ""
    needs: tuple[str, ...] = ()
    needs_final: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ("modular_arithmetic",)
    stored: bool = True
    standard: bool = True
    at_most: int = 0

    @property
    def doc(self) -> str:
        """The documentation of the measure: formula, shapes, units, limits."""
        return inspect.getdoc(self.compute) or ""

    def with_defaults(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """`parameters` in the types of the defaults, completed by them.

        Raises `BadParameter` for a name that does not exist or a value of another type.
        """
        for name in parameters:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise BadParameter(f"{self.name} has no parameter {name!r}; it has: {known}.")
        return {
            name: _like(name, default, parameters.get(name, default))
            for name, default in self.parameters.items()
        }


def _like(name: str, default: Any, value: Any) -> Any:
    """`value` as the type of `default`, if nothing is lost by it."""
    try:
        converted = type(default)(value)
    except (TypeError, ValueError):
        converted = None
    if converted is None or (not isinstance(value, str) and converted != value):
        kind = {int: "a whole number", float: "a number"}.get(type(default), f"a {type(default).__name__}")
        raise BadParameter(f"{name}={value!r} is not {kind}; the default is {default!r}.")
    return converted


def analyzer(**declared: Any) -> Callable[[Callable[..., Mapping[str, Any]]], Analyzer]:
    """Make the decorated function an `Analyzer` with these fields. Nothing else happens: see `Registry`."""
    return lambda compute: Analyzer(compute=compute, **declared)


class Registry:
    """Instruments by name. Immutable; `extended` makes a larger one."""

    def __init__(self, analyzers: Iterable[Analyzer]) -> None:
        self._analyzers: dict[str, Analyzer] = {}
        for found in analyzers:
            if found.name in self._analyzers:
                raise WorkbenchError(f"Two analyzers are called {found.name!r}; rename one.")
            self._analyzers[found.name] = found
        self._order = self._sorted()
        for found in self:
            self._check(found)

    def __iter__(self) -> Iterator[Analyzer]:
        return iter(self._analyzers.values())

    def __contains__(self, name: str) -> bool:
        return name in self._analyzers

    def get(self, name: str) -> Analyzer:
        """The instrument of that name. Raises `BadParameter` that lists what there is."""
        try:
            return self._analyzers[name]
        except KeyError:
            raise BadParameter(
                f"There is no analyzer {name!r}; there is: {', '.join(self._analyzers)}."
            ) from None

    def extended(self, *analyzers: Analyzer) -> Registry:
        """This registry with more instruments."""
        return Registry([*self, *analyzers])

    def ordered(self, names: Iterable[str] | None = None, finals: bool = True) -> list[Analyzer]:
        """The named instruments and all that they need (None: all), each after what it needs.

        finals: what they need of the last checkpoint too.
        """
        wanted: set[str] = set()
        pending = list(self._analyzers if names is None else names)
        while pending:
            found = self.get(pending.pop())
            if found.name not in wanted:
                wanted.add(found.name)
                pending.extend((*found.needs, *(found.needs_final if finals else ())))
        return [self._analyzers[name] for name in self._order if name in wanted]

    def fixed_by(self, name: str) -> tuple[str, ...]:
        """The instruments whose result at the last checkpoint enters into this one's at every epoch."""
        found = self.get(name)
        return tuple(
            sorted({*found.needs_final, *(fixed for need in found.needs for fixed in self.fixed_by(need))})
        )

    def key(self, name: str, probe: str = "grid", parameters: Mapping[str, Any] | None = None) -> str:
        """Key of an artifact: 16 hex digits that change with anything that could change its numbers.

        That is: name, version and parameters of the instrument, the probe, the shared features' version, and
        the keys of what it needs (with their default parameters). The same for every variant.
        """
        found = self.get(name)
        content = [
            found.name,
            found.version,
            found.with_defaults(parameters or {}),
            probe,
            FEATURES_VERSION,
            [self.key(need, probe) for need in (*found.needs, *found.needs_final)],
        ]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _check(self, found: Analyzer) -> None:
        """Raises `WorkbenchError` for a need that the pipeline could not meet."""
        if found.at_most == 1:
            raise WorkbenchError(
                f"{found.name} has at_most=1; the first and the last checkpoint are always run."
            )
        for name in (*found.needs, *found.needs_final):
            need = self.get(name)
            if found.standard and not need.standard:
                raise WorkbenchError(f"{found.name} is standard and needs {name}, which is not.")
            if not need.stored and found.stored:
                raise WorkbenchError(f"{found.name} is stored and needs {name}, which is not.")
        for name in found.needs_final:
            if self.fixed_by(name) or self.get(name).scope != "checkpoint":
                raise WorkbenchError(f"{found.name} cannot apply {name} to every epoch; see needs_final.")
        for name in found.needs:
            need = self.get(name)
            if found.scope == "checkpoint" and need.scope != "checkpoint":
                raise WorkbenchError(
                    f"{found.name} looks at one checkpoint and needs {name}, which looks at all."
                )
            if found.scope == "checkpoint" and need.at_most not in (0, found.at_most):
                raise WorkbenchError(f"{found.name} runs on more checkpoints than {name}, which it needs.")

    def _sorted(self) -> list[str]:
        order: list[str] = []
        path: list[str] = []

        def visit(name: str) -> None:
            if name in order:
                return
            if name in path:
                raise WorkbenchError(f"Analyzers need each other in a circle: {' -> '.join([*path, name])}.")
            if name not in self._analyzers:
                raise WorkbenchError(f"{path[-1]} needs {name!r}, which is not a registered analyzer.")
            path.append(name)
            for need in (*self._analyzers[name].needs, *self._analyzers[name].needs_final):
                visit(need)
            order.append(path.pop())

        for name in self._analyzers:
            visit(name)
        return order


def instruments_of(module: str) -> list[Analyzer]:
    """The instruments that a module defines itself."""
    members = vars(importlib.import_module(module)).values()
    return [
        member for member in members if isinstance(member, Analyzer) and member.compute.__module__ == module
    ]


@cache
def default_registry() -> Registry:
    """The instruments that ship with the workbench."""
    package = importlib.import_module(INSTRUMENTS)
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__, f"{INSTRUMENTS}."))
    return Registry(found for module in modules for found in instruments_of(module))
