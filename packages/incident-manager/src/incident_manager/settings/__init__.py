"""Settings: one file and the environment, checked as a whole before anything starts."""

from incident_manager.settings.access import AccessSettings, RateSettings, TokenSettings
from incident_manager.settings.destinations import (
    DestinationSettings,
    EmailDestination,
    HttpDestination,
    PagerDutyDestination,
    SlackApiDestination,
    SlackDestination,
    WebhookDestination,
)
from incident_manager.settings.ingest import IngestSettings
from incident_manager.settings.load import CONFIG_VARIABLE, load_settings
from incident_manager.settings.notifications import DispatcherSettings, RouteSettings
from incident_manager.settings.settings import Settings
from incident_manager.settings.storage import CacheSettings, DatabaseSettings, JournalSettings, RetentionSettings

__all__ = [
    "CONFIG_VARIABLE",
    "AccessSettings",
    "CacheSettings",
    "DatabaseSettings",
    "DestinationSettings",
    "DispatcherSettings",
    "EmailDestination",
    "HttpDestination",
    "IngestSettings",
    "JournalSettings",
    "PagerDutyDestination",
    "RateSettings",
    "RetentionSettings",
    "RouteSettings",
    "Settings",
    "SlackApiDestination",
    "SlackDestination",
    "TokenSettings",
    "WebhookDestination",
    "load_settings",
]
