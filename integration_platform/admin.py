"""Accounts and queue internals, on the same shell as everything else; `history` is what people did."""

from inspect import getdoc
from pydoc import locate
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from connectors.admin.base import Audited, ReadOnly, link, page_of
from integration_platform import history
from integration_platform.models import LoginTally
from messages.admin.display import label, moment, second
from messages.admin.paging import Uncounted

__all__ = ["history"]

for model in (User, Group, Failure, OrmQ, Schedule, Success):
    admin.site.unregister(model)


@admin.register(User)
class PlatformUserAdmin(Audited, UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "roles", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    filter_horizontal = ("user_permissions",)
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("Rights", {"fields": ("groups", "is_active", "is_staff", "is_superuser")}),
        ("Single permissions, beside those of the groups", {"fields": ("user_permissions",), "classes": ("collapse",)}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "password1", "password2")}),
        ("Rights", {"fields": ("groups", "is_staff")}),
    )
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """People are added so that they can log in here."""
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Few groups, and the ones that matter: all of them in sight."""
        if db_field.name == "groups":
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
            kwargs["help_text"] = "What somebody may do; with several groups, what either of them may."
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @display(description="Groups")
    def roles(self, user: User) -> str:
        return ", ".join(sorted(group.name for group in user.groups.all())) or "–"


@admin.register(Group)
class PlatformGroupAdmin(Audited, GroupAdmin, ModelAdmin):
    show_facets = admin.ShowFacets.NEVER


@admin.register(Failure)
class PlatformFailureAdmin(Uncounted, ReadOnly, ModelAdmin):
    """What failed is looked at; its schedule runs it again. To queue it anew by hand would call whatever it names."""

    list_display = ("name", "began", "ended", "last_words")
    list_display_links = ("name",)
    search_fields = ("name", "func")
    fields = ("name", "func", "began", "ended", "tries", "output")
    readonly_fields = fields

    @display(description="Began", ordering="started")
    def began(self, task: Failure) -> str:
        return second(task.started)

    @display(description="Ended", ordering="stopped")
    def ended(self, task: Failure) -> str:
        return second(task.stopped)

    @display(description="Tries", ordering="attempt_count")
    def tries(self, task: Failure) -> int:
        return int(task.attempt_count)

    @display(description="Error")
    def last_words(self, task: Failure) -> str:
        """A traceback's last line says what happened."""
        lines = str(task.result or "").strip().splitlines()
        return lines[-1][:200] if lines else "–"

    @display(description="Traceback")
    def output(self, task: Failure) -> SafeString:
        return format_html('<pre class="platform-json">{}</pre>', str(task.result or "–"))


@admin.register(Schedule)
class PlatformScheduleAdmin(ReadOnly, ModelAdmin):
    """What the queue does by the clock. Only the platform writes schedules: each may call any function there is."""

    list_display = ("name", "purpose", "every", "next", "state")
    list_display_links = ("name",)
    list_per_page = 25
    fields = ("name", "purpose", "every", "next", "state")
    readonly_fields = fields

    @display(description="Runs", ordering="minutes")
    def every(self, schedule: Schedule) -> str:
        if schedule.schedule_type != Schedule.MINUTES:
            return str(schedule.get_schedule_type_display())
        return "every minute" if schedule.minutes == 1 else f"every {schedule.minutes} minutes"

    @display(description="Next", ordering="next_run")
    def next(self, schedule: Schedule) -> str:
        return second(schedule.next_run)

    @display(description="Last run")
    def state(self, schedule: Schedule) -> SafeString:
        """The queue keeps what failed, and forgets what went well."""
        if not schedule.task:
            return format_html('<span class="platform-muted">{}</span>', "not yet")
        failure = Failure.objects.filter(pk=schedule.task).first()
        if failure is None:
            return label("went well", "success")
        return format_html("{} {}", label("failed", "danger"), link(page_of(failure), moment(failure.stopped)))

    @display(description="What it does")
    def purpose(self, schedule: Schedule) -> str:
        function = locate(schedule.func)
        told = getdoc(function) if function is not None else None
        return told.partition(". ")[0].partition("\n")[0].rstrip(".") if told else "–"


@admin.register(LoginTally)
class LoginTallyAdmin(ReadOnly, ModelAdmin):
    """Wrong passwords, and who has to wait because of them. To delete one lets its address or account try at once."""

    list_display = ("kind", "key", "failures", "until", "seen")
    list_filter = ("kind",)
    list_per_page = 25
    fields = ("kind", "key", "failures", "until", "seen")
    readonly_fields = fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("integration_platform.delete_logintally")

    @display(description="Has to wait until", ordering="blocked_until")
    def until(self, tally: LoginTally) -> str:
        return moment(tally.blocked_until)

    @display(description="Last seen", ordering="seen_at")
    def seen(self, tally: LoginTally) -> str:
        return moment(tally.seen_at)
