"""Who answers which address. Errors are problem documents everywhere but in the admin, which is for people."""

from django.contrib import admin
from django.urls import include, path, re_path

from integration_platform import health, login
from messages.admin import interface

urlpatterns = [
    path("admin/login/", login.login),
    path("admin/api/", admin.site.admin_view(interface.index), name="api"),
    path("admin/api/<slug:slug>/", admin.site.admin_view(interface.of_route), name="api-route"),
    path("admin/", admin.site.urls),
    re_path(r"^health/live/?$", health.live),
    re_path(r"^health/ready/?$", health.ready),
    path("metrics", health.metrics),
    path("", include("messages.urls")),
]

handler400 = "messages.problems.bad_request"
handler403 = "messages.problems.permission_denied"
handler404 = "messages.problems.not_found"
handler500 = "messages.problems.server_error"
