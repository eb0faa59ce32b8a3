"""Form fields as plain HTML: each with its label, a hint, and the place where its error appears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from dash import html

from dashboard.markup import Raw
from training.families.setting import Setting

Kind = Literal["whole", "number", "text", "choice", "check", "pair", "schedule", "variant", "epoch"]
LONG = 24  # characters of a choice that needs two columns
PLACEHOLDERS = {"variant": "as in the sidebar", "epoch": "as in the sidebar"}


@dataclass(frozen=True)
class Field:
    """One value that a person may give.

    default   what it is when it is left alone: not sent, and not kept in the address
    several   takes several values: "97, 101" and, for whole numbers, "0-7"
    optional  may be empty; `empty` says what that means
    wide      takes the whole width of the form
    """

    name: str
    label: str
    kind: Kind
    help: str = ""
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    several: bool = False
    empty: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Part:
    """Fields under one heading; those of `more`, or all of a `folded` one, are hidden until asked for."""

    title: str
    fields: tuple[Field, ...]
    more: tuple[Field, ...] = ()
    folded: bool = False


def of_setting(setting: Setting, several: bool) -> Field:
    """The field of a family's setting."""
    many = several and setting.kind in ("whole", "number", "choice")
    choices = tuple((name, name) for name in setting.choices)
    return Field(
        setting.name,
        setting.label,
        setting.kind,
        "" if setting.kind == "schedule" else setting.help,
        plain(setting.default),
        choices,
        many,
        wide=setting.kind == "schedule",
    )


def form(name: str, parts: Sequence[Part], hidden: bool = True) -> html.Form:
    """A form with its parts; its script is assets/page_train.js."""
    return html.Form(
        [_part(name, part) for part in parts],
        id=f"form-{name}",
        className="form",
        hidden=hidden,
        autoComplete="off",
        **{"data-form": name},
    )


def plain(value: Any) -> str:
    """A default as a person would type it."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(plain(one) for one in value)
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value)


def _part(form_name: str, part: Part) -> Any:
    if part.folded:
        body = html.Details([html.Summary(part.title), _fields(form_name, part.fields)])
        return html.Fieldset([html.Legend(part.title, className="visually-hidden"), body], className="card")
    more = html.Details([html.Summary("More"), _fields(form_name, part.more)], className="more")
    inside = [html.Legend(part.title), _fields(form_name, part.fields), more if part.more else None]
    return html.Fieldset(inside, className="card")


def _fields(form_name: str, fields: Sequence[Field]) -> html.Div:
    return html.Div([_field(form_name, field) for field in fields], className="fields")


def _field(form_name: str, field: Field) -> html.Div:
    ident = f"{form_name}-{field.name}"
    described = f"{ident}-hint {ident}-error" if field.help else f"{ident}-error"
    longest = max((len(text) for _, text in field.choices), default=0)
    classes = "field" + (" is-wide" if field.wide else " is-double" if longest > LONG else "")
    classes += " is-check" if field.kind == "check" else ""
    control = _control(ident, field, described)
    label = html.Label(field.label, htmlFor=ident)
    inside = [control, label] if field.kind == "check" else [label, control]
    return html.Div(
        [
            *inside,
            html.Small(field.help, id=f"{ident}-hint", className="field-hint") if field.help else None,
            html.P(id=f"{ident}-error", className="field-error", role="alert", hidden=True),
        ],
        className=classes,
        **{"data-field": field.name},
    )


def _control(ident: str, field: Field, described: str) -> Any:
    if field.kind == "choice" and not field.several:
        options = [_option(value, text, value == field.default) for value, text in field.choices]
        return html.Select(
            options,
            id=ident,
            name=field.name,
            className="input",
            **{"aria-describedby": described, "data-kind": "choice", "data-default": field.default},
        )
    attributes = {
        "id": ident,
        "name": field.name,
        "type": "checkbox" if field.kind == "check" else "text",
        "class": None if field.kind == "check" else "input",
        "value": None if field.kind == "check" else field.default,
        "placeholder": field.empty or PLACEHOLDERS.get(field.kind),
        "inputmode": "numeric" if field.kind in ("whole", "epoch") and not field.several else None,
        "spellcheck": "false",
        "list": {"variant": "train-variants"}.get(field.kind) or (f"{ident}-list" if field.choices else None),
        "aria-describedby": described,
        "data-kind": field.kind,
        "data-default": field.default,
        "data-several": "" if field.several else None,
    }
    text = "".join(
        f' {name}="{escape(str(value))}"' for name, value in attributes.items() if value is not None
    )
    known = html.Datalist([_option(value, text, False) for value, text in field.choices], id=f"{ident}-list")
    return [Raw(f"<input{text}>"), known if field.choices else None]


def _option(value: str, text: str, chosen: bool) -> html.Option:
    return html.Option(text, value=value, selected=chosen)
