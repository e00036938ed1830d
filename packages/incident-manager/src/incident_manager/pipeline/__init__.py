"""From alerts to incidents: one step a module, composed in `process`; and what people do, in `actions`."""
