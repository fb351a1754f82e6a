"""What granian serves for the bare views: the same threads and the same loop, and a body is read from everybody."""

from integration_platform.wsgi import application as wsgi_application

# isort: split
# Django has been set up by now, which these need
from django.conf import settings

from integration_platform.arrivals import Allowance
from integration_platform.door import Door

application = Door(
    wsgi_application,
    threads=settings.WEB_THREADS,
    allowing=lambda environ: Allowance(settings.MAX_BODY_BYTES, known=True),
    seconds=settings.BODY_SECONDS,
)
