"""Every address: the console under /admin/, the REST doors under /api/v1/."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from revops.api import problems
from revops.api.health import healthz

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/"), name="start"),
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
]

handler400 = problems.bad_request
handler404 = problems.not_found
handler500 = problems.server_error
