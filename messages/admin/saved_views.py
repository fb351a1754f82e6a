"""Saved views: the links above a list that lead to what somebody looks at every day."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.shortcuts import redirect
from django.urls import path, reverse
from unfold.admin import ModelAdmin

from connectors import audit
from connectors.admin.base import HiddenFromIndex, ReadOnly
from messages.admin.paging import PASSING
from messages.models import SavedView


class SavedViewForm(forms.ModelForm):
    class Meta:
        model = SavedView
        fields = ("list", "name", "query", "shared")

    def clean_query(self) -> str:
        return lasting(self.cleaned_data["query"])


@admin.register(SavedView)
class SavedViewAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    """Made above the lists; everybody's own are theirs to delete."""

    list_display = ("name", "list", "owner", "shared")
    list_select_related = ("owner",)
    fields = ("name", "list", "owner", "shared", "query")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(Q(owner=request.user) | Q(shared=True))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and (obj.owner_id == request.user.pk or request.user.is_superuser)

    def get_urls(self) -> list[Any]:
        own = path("save/", self.admin_site.admin_view(self.keep), name="messaging_savedview_save")
        return [own, *super().get_urls()]

    def keep(self, request: HttpRequest) -> HttpResponse:
        """Saves the list as it is shown; one of the same name and owner is replaced."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        which = request.POST.get("list", "")
        if which not in SavedView.List.values or not request.user.has_perm(f"messaging.view_{which}"):
            raise PermissionDenied
        owner: Any = request.user
        given = SavedView.objects.filter(owner=owner, list=which, name=request.POST.get("name", "")).first()
        form = SavedViewForm(request.POST, instance=given or SavedView(owner=owner))
        if form.is_valid():
            made = form.save()
            text = f"Saved as a view: {made.query or 'everything'}"
            audit.record(made, by=request.user, text=text, added=given is None)
            self.message_user(request, f"“{made}” is a view now.", level="success")
        else:
            self.message_user(request, "A view needs a name of 50 letters at most.", level="error")
        query = lasting(request.POST.get("query", ""))
        return redirect(f"{reverse(f'admin:messaging_{which}_changelist')}?{query}")

    def delete_model(self, request: HttpRequest, obj: SavedView) -> None:
        request.platform_list = obj.list  # type: ignore[attr-defined] # the answer, below, is not told what is gone
        super().delete_model(request, obj)

    def response_delete(self, request: Any, obj_display: str, obj_id: Any) -> HttpResponse:
        """Back to the list that the view was one of."""
        return redirect(f"admin:messaging_{request.platform_list}_changelist")


class WithViews:
    """A list with saved views: its template includes `admin/messaging/views.html`."""

    views_of: Any
    list_before_template = "admin/messaging/views.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        query = lasting(request.GET.urlencode())
        views = SavedView.objects.filter(Q(owner=request.user) | Q(shared=True), list=self.views_of)
        told = {"views": list(views.select_related("owner")), "views_of": self.views_of, "views_query": query}
        answer: HttpResponse = super().changelist_view(request, {**told, **(extra_context or {})})  # type: ignore[misc]
        return answer


def lasting(query: str) -> str:
    """A query without what is only about paging, in an order that two of the same share."""
    parts = QueryDict(query).urlencode().split("&")
    return "&".join(sorted(part for part in parts if part and part.partition("=")[0] not in PASSING))
