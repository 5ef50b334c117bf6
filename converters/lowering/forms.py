"""The forms a layer can be written in: one a file, one row here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from converters.layers.layer import Layer
from converters.lowering.compact import Compact
from converters.lowering.form import Form, Request
from converters.lowering.fused import Fused
from converters.lowering.lookup import Lookup
from converters.lowering.own_operator import OwnOperator
from converters.lowering.parallel import FullWidth, Parallel
from converters.lowering.split import Split
from converters.lowering.tied import Tied

FORMS: dict[str, Form] = {}  # in the order in which they are preferred where they cost the same


def register_form(form: Form) -> None:
    """Makes a form known: it can be asked for, is weighed by ``auto`` where it wants to be, and is written."""
    FORMS[form.name] = form


for _form in (Split(), Fused(), Parallel(), Compact(), FullWidth(), OwnOperator(), Lookup(), Tied()):
    register_form(_form)
BUILT_IN: Mapping[str, Form] = MappingProxyType(dict(FORMS))


def lowerings() -> tuple[str, ...]:
    """What users may ask for."""
    return ("auto", *(form.name for form in FORMS.values() if form.asked_for))


def only_form(layer: Layer) -> Form | None:
    """The form of a layer that has no other; None where there is a choice."""
    found = [form for form in FORMS.values() if form.writes(layer)]
    return found[0] if len(found) == 1 else None


def settle(form: Form, request: Request) -> tuple[Form, str | None]:
    """The form that writes the rows, and why it is another one where there is something to say."""
    reason = form.refuses(request)
    if reason is None:
        return form, None
    for name in form.instead:
        if FORMS[name].refuses(request) is None:
            return FORMS[name], reason or None
    return form, None  # nothing else can: writing it says what is wrong
