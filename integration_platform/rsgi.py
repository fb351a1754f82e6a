"""What granian serves: `granian --interface rsgi integration_platform.rsgi:application`."""

import multiprocessing
import signal

if multiprocessing.parent_process() is not None:
    # granian's worker has the handler of its parent until it serves, which only notes a SIGTERM; it would not be heard
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

from integration_platform.wsgi import application as wsgi_application

# isort: split
# Django has been set up by now, which these need
from django.conf import settings

from connectors.processors import settler
from integration_platform.arrivals import allowance
from integration_platform.door import Door

application = Door(wsgi_application, threads=settings.WEB_THREADS, allowing=allowance, seconds=settings.BODY_SECONDS)
settler.begin()
