"""Settings: one file and the environment, checked as a whole before anything starts."""

from incident_manager.settings.destinations import DestinationSettings, SlackDestination, WebhookDestination
from incident_manager.settings.load import CONFIG_VARIABLE, load_settings
from incident_manager.settings.notifications import DispatcherSettings, RouteSettings
from incident_manager.settings.settings import Settings
from incident_manager.settings.storage import CacheSettings, DatabaseSettings, JournalSettings

__all__ = [
    "CONFIG_VARIABLE",
    "CacheSettings",
    "DatabaseSettings",
    "DestinationSettings",
    "DispatcherSettings",
    "JournalSettings",
    "RouteSettings",
    "Settings",
    "SlackDestination",
    "WebhookDestination",
    "load_settings",
]
