"""Settings from files and from the environment."""

from recloser.config.config import Config, Explained, load_config
from recloser.config.watcher import ConfigWatcher

__all__ = ["Config", "ConfigWatcher", "Explained", "load_config"]
