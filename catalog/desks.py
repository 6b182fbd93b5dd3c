"""What every desk of the console shares: rows with a history, facts that are only read, and counts that are quick.

Desks build on the theme's classes, never on Django's: what is registered with those looks like another product.
Deeds, the actions with a confirm page, are in catalog/deeds.py; columns of numbers and states in catalog/columns.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite, ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import display_for_field, flatten_fieldsets
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.paginator import Paginator
from django.db import IntegrityError, connections, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import slugify
from simple_history.admin import SimpleHistoryAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from catalog.exporting import EXPORTED_UP_TO, csv_response
from catalog.money import quantity_text
from catalog.wording import figure

if TYPE_CHECKING:  # the theme ships no types; its classes are Django's, dressed
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin import StackedInline as ThemeStackedInline
    from django.contrib.admin import TabularInline as ThemeTabularInline
else:
    from unfold.admin import ModelAdmin
    from unfold.admin import StackedInline as ThemeStackedInline
    from unfold.admin import TabularInline as ThemeTabularInline

__all__ = [
    "Desk", "FactDesk", "HistoryDesk", "ModelAdmin", "PartsMixin", "QuickPaginator", "ReasonForm", "ShownInline",
    "StackedInline", "TabularInline",
]  # fmt: skip

_Child = TypeVar("_Child", bound=models.Model)
_Parent = TypeVar("_Parent", bound=models.Model)

COUNTED_UP_TO = 10_000

_ESTIMATE = """
    WITH parts AS (
        SELECT %s::regclass AS part UNION SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = %s::regclass
    )
    SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class JOIN parts ON pg_class.oid = parts.part
"""


class QuickPaginator(Paginator[Any]):
    """Counts no further than 10,000 rows; a whole table that is larger is counted by the planner's estimate."""

    @cached_property
    def count(self) -> int:
        rows: models.QuerySet[Any] = self.object_list  # type: ignore[assignment]
        counted = rows.order_by()[: COUNTED_UP_TO + 1].count()
        if counted <= COUNTED_UP_TO:
            return counted
        return max(counted, self._estimate(rows)) if not rows.query.where else COUNTED_UP_TO

    def _estimate(self, rows: models.QuerySet[Any]) -> int:
        table = rows.model._meta.db_table
        with connections[rows.db].cursor() as cursor:
            cursor.execute(_ESTIMATE, [table, table])
            return int(cursor.fetchone()[0])


class RefusalMixin:
    """What the database refuses is said in a message, where it would otherwise be an error page."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return cast(HttpResponse, super().changeform_view(request, *args, **kwargs))  # type: ignore[misc]
        except IntegrityError as refused:
            return said_no(request, refused)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return cast(HttpResponse, super().delete_view(request, *args, **kwargs))  # type: ignore[misc]
        except IntegrityError as refused:
            return said_no(request, refused)


def said_no(request: HttpRequest, refused: IntegrityError) -> HttpResponse:
    sentence = str(refused).strip().partition("\n")[0]
    messages.error(request, f"Nothing was changed. The database refused it: {sentence}.")
    return HttpResponseRedirect(request.path)


class ReasonForm(forms.ModelForm[Any]):
    """A change form that asks why; the answer is kept in the history."""

    change_reason = forms.CharField(
        label="Why",
        required=False,
        max_length=500,
        help_text="Kept in the history, beside who and when.",
        widget=UnfoldAdminTextInputWidget(),
    )

    def clean(self) -> dict[str, Any]:
        """Lines end as they are stored; as browsers send them, every saved text would look changed in the history."""
        super().clean()
        for name, value in self.cleaned_data.items():
            if isinstance(value, str):
                self.cleaned_data[name] = value.replace("\r\n", "\n")
        return self.cleaned_data


class PlainDecimalField(forms.DecimalField):
    """A number to edit, without the zeros that fill the places of its column."""

    def prepare_value(self, value: Any) -> Any:
        return quantity_text(value) if isinstance(value, Decimal) and value.is_finite() else value


PLAIN_DECIMALS: Mapping[type[models.Field[Any, Any]], Mapping[str, Any]] = {
    models.DecimalField: {"form_class": PlainDecimalField}
}


def plainly(contents: str) -> str:
    """A number to read, of the theme's read-only field: with thousands separators, without the zeros at its end."""
    try:
        return figure(Decimal(contents))
    except (ArithmeticError, ValueError):
        return contents  # a dash where there is none


class TabularInline(ThemeTabularInline[_Child, _Parent]):
    """Rows of another row's page, one below the other."""

    formfield_overrides = PLAIN_DECIMALS


class StackedInline(ThemeStackedInline[_Child, _Parent]):
    """Rows of another row's page, each as a small form."""

    formfield_overrides = PLAIN_DECIMALS


class Desk(ModelAdmin[Any]):
    """A list and a page of rows, dressed alike; the list can be had as CSV by who may view it."""

    change_form_template = "admin/desk_form.html"
    show_full_result_count = False
    paginator = QuickPaginator
    view_on_site = False
    list_per_page = 50
    show_facets = ShowFacets.NEVER  # they count the whole table, once for each choice of each filter
    formfield_overrides = PLAIN_DECIMALS
    wide_fields: ClassVar[Sequence[str]] = (
        "content",
        "explanation",
        "terms",
        "charges",
    )  # tables: no label beside them
    csv_columns: ClassVar[Sequence[str]] = ()  # as list_display, which it is when empty
    empty_hint: ClassVar[str] = ""  # what an empty list says: where its rows come from

    def __init__(self, model: type[models.Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        numbers = [field.name for field in model._meta.concrete_fields if isinstance(field, models.DecimalField)]
        self.readonly_preprocess_fields = dict.fromkeys(numbers, plainly)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/", self.admin_site.admin_view(self.export_view), name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the list shows with the filters of the address, as CSV."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"../?{ERROR_FLAG}=1")
        names = self.csv_columns or [str(name) for name in self.get_list_display(request) if name != "action_checkbox"]
        filename = f"{slugify(str(self.opts.verbose_name_plural))}-{timezone.now():%Y%m%d-%H%M}.csv"
        return csv_response(self, found, names, filename)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        said = {"empty_hint": self.empty_hint, "exported_up_to": EXPORTED_UP_TO}
        return super().changelist_view(request, {**said, **(extra_context or {})})


class HistoryDesk(RefusalMixin, SimpleHistoryAdmin, Desk):  # type: ignore[misc]
    """Rows that people edit. Every change is kept with who, when and why; a row is locked while it is saved."""

    form = ReasonForm

    def frozen(self, row: Any) -> str | None:
        """Why a row cannot be edited, in a sentence that says what to do instead; None where it can."""
        return None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_change_permission(request, obj))
        return allowed and (obj is None or self.frozen(obj) is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and (obj is None or self.frozen(obj) is None)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None and request.method == "POST":
            # The form is checked and saved in one transaction; nobody else may decide on the row meanwhile.
            self.model._base_manager.select_for_update().get(pk=row.pk)
            row.refresh_from_db()
        return row

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The reason comes last, and only where something can be changed."""
        fieldsets: Any = super().get_fieldsets(request, obj)
        editable = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        cleaned = []
        for title, options in fieldsets:
            fields = [field for field in options["fields"] if field != "change_reason"]
            cleaned.append((title, {**options, "fields": fields}))
        if editable:
            title, options = cleaned[-1]
            cleaned[-1] = (title, {**options, "fields": [*options["fields"], "change_reason"]})
        return cleaned

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj._change_reason = form.cleaned_data.get("change_reason", "")
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for row in formset.save(commit=False):
            row._change_reason = form.cleaned_data.get("change_reason", "")
            row._history_user = request.user
            row.save()
        for row in formset.deleted_objects:
            row._change_reason = form.cleaned_data.get("change_reason", "")
            row.delete()
        formset.save_m2m()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = super().get_object(request, object_id) if request.method == "GET" else None
        said = {"frozen_because": self.frozen(row) if row is not None else None}
        return super().change_view(request, object_id, form_url, {**said, **(extra_context or {})})

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The fields of the row's page, as they were. History is for reading: going back is an edit like any other."""
        if request.method != "GET":
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_history_permission(request, row):
            raise PermissionDenied
        record = get_object_or_404(self.model.history.filter(**{self.opts.pk.attname: row.pk}), history_id=version_id)
        shown = flatten_fieldsets(self.get_fieldsets(request, row))
        context = {
            **self.admin_site.each_context(request),
            "title": f"{record.history_object} on {record.history_date:%Y-%m-%d at %H:%M:%S} UTC",
            "opts": self.opts,
            "object": row,
            "record": record,
            "values": [
                (field.verbose_name, was(record, field)) for field in self.opts.concrete_fields if field.name in shown
            ],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/history_record.html", context)

    def revert_disabled(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


def was(record: Any, field: models.Field[Any, Any]) -> str:
    """What a field held in a record of the history, for reading."""
    if isinstance(field, models.ForeignKey):
        try:
            return str(getattr(record, field.name) or "-")
        except ObjectDoesNotExist:
            return f"#{getattr(record, field.attname)}, which is gone"
    value = getattr(record, field.attname)
    shown = str(display_for_field(value, field, "-"))
    return plainly(shown) if isinstance(field, models.DecimalField) else shown


class PartsMixin:
    """Rows that go with the row they are part of (it has a `status`), and on their own only while that is a draft.

    Deleting the whole asks `has_delete_permission` of its parts, too, so that one cannot tell the two apart.
    """

    part_of: ClassVar[str]  # the field that names the whole

    def is_loose(self, row: Any) -> bool:
        """Whether a row may go on its own."""
        return bool(getattr(row, self.part_of).status == "draft")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Nobody else may submit or decide on the whole meanwhile; it is locked first, as where it is edited."""
        if request.method == "POST":
            row = ModelAdmin.get_object(cast(Any, self), request, object_id, from_field)
            if row is not None:
                whole = getattr(row, self.part_of)
                type(whole)._base_manager.select_for_update().get(pk=whole.pk)
        return super().get_object(request, object_id, from_field)  # type: ignore[misc]

    def get_deleted_objects(self, rows: Any, request: HttpRequest) -> Any:
        """Asked by the page that deletes a row and by the action that deletes several, not for the whole."""
        listed, counted, lacking, protected = super().get_deleted_objects(rows, request)  # type: ignore[misc]
        if not all(self.is_loose(row) for row in rows):
            lacking = {*lacking, self.opts.verbose_name}  # type: ignore[attr-defined]
        return listed, counted, lacking, protected

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        shown = {} if row is None or self.is_loose(row) else {"show_delete": False}
        return super().render_change_form(request, {**context, **shown}, *args, **kwargs)  # type: ignore[misc]


class FactDesk(Desk):
    """Rows that the machine wrote: nobody adds, changes or deletes them here."""

    actions: Sequence[Any] | None = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All columns of the row, without the form that Django would make to find them."""
        if self.fields:
            return self.fields
        own = [field.name for field in self.opts.fields if field.editable and not field.auto_created]
        return [*own, *(name for name in self.get_readonly_fields(request, obj) if name not in own)]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ShownInline(TabularInline[Any, Any]):
    """Rows of a page that are shown on it, and edited elsewhere or nowhere."""

    extra = 0
    can_delete = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A row that is being added has none yet."""
        return obj is not None and bool(super().has_view_permission(request, obj))

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Django asks here without the row whether they may be seen; the page has asked with it."""
        rows: models.QuerySet[Any] = self.model._default_manager.all()
        return rows.order_by(*self.get_ordering(request))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
