"""Accounts, what people did, and queue internals, on the same shell as everything else."""

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django_q.admin import FailAdmin, ScheduleAdmin
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from connectors.admin.base import ReadOnly
from messages.admin.display import moment
from messages.admin.paging import FixedOrder, UncountedPaginator

for model in (User, Group, Failure, OrmQ, Schedule, Success):
    admin.site.unregister(model)


@admin.register(User)
class PlatformUserAdmin(UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class PlatformGroupAdmin(GroupAdmin, ModelAdmin):
    pass


@admin.register(LogEntry)
class PlatformLogEntryAdmin(FixedOrder, ReadOnly, ModelAdmin):
    """Every change and verb, by person, kind of object and time; the pages of objects show their own history."""

    list_display = ("when", "user", "content_type", "object_repr", "what")
    list_filter = ("action_time", "user", "content_type", "action_flag")
    list_select_related = ("user", "content_type")
    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator
    fields = ("when", "user", "content_type", "object_repr", "what")
    readonly_fields = fields

    @display(description="Time")
    def when(self, entry: LogEntry) -> str:
        return moment(entry.action_time)

    @display(description="What was done")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()


@admin.register(Failure)
class PlatformFailureAdmin(FailAdmin, ModelAdmin):
    pass


@admin.register(Schedule)
class PlatformScheduleAdmin(ScheduleAdmin, ModelAdmin):
    list_display = ("name", "schedule_type", "minutes", "next_run", "last_run", "success")
