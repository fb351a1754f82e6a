"""The WSGI application, for any WSGI server: granian, gunicorn, …"""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from integration_platform.chunked import with_chunked_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_platform.settings")

application = with_chunked_bodies(get_wsgi_application(), limit=settings.MAX_BODY_BYTES)
