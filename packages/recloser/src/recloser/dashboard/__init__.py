"""The live page of a registry's breakers, as an ASGI application without dependencies: `dashboard(registry)`.

from recloser.dashboard import dashboard

app.mount("/breakers", dashboard(registry, token=os.environ["BREAKERS_TOKEN"]))   # Starlette, FastAPI
"""

from recloser.dashboard.access import Authorize
from recloser.dashboard.app import Dashboard, dashboard
from recloser.dashboard.control import Audit, AuditRecord

__all__ = ["Audit", "AuditRecord", "Authorize", "Dashboard", "dashboard"]
