"""The addresses for source applications; a trailing slash is accepted and never redirects."""

from django.urls import re_path

from messages import views

urlpatterns = [
    re_path(r"^webhooks/(?P<slug>[-\w]+)/?$", views.WebhookView.as_view(), name="webhook"),
    re_path(
        r"^webhooks/(?P<slug>[-\w]+)/(?P<pattern>sync|async)/?$", views.WebhookView.as_view(), name="webhook-pattern"
    ),
    re_path(r"^openapi\.json/?$", views.OpenApiView.as_view(), name="openapi"),
    re_path(r"^problems/(?P<slug>[-\w]+)/?$", views.ProblemTypeView.as_view(), name="problem-type"),
    re_path(r"^results/(?P<correlation_id>[^/]+)/?$", views.ResultView.as_view(), name="result"),
]
