"""Accounts and queue internals, on the same shell as everything else."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django_q.admin import FailAdmin, ScheduleAdmin
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

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


@admin.register(Failure)
class PlatformFailureAdmin(FailAdmin, ModelAdmin):
    pass


@admin.register(Schedule)
class PlatformScheduleAdmin(ScheduleAdmin, ModelAdmin):
    list_display = ("name", "schedule_type", "minutes", "next_run", "last_run", "success")
