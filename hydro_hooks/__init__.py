"""Records why an installation was created, enabled, disabled or destroyed.

hooks = register(
    installation(Installation, jira_hostname="jira_host", enabled="enabled"),
    subscription(Subscription, github_installation_id="github_installation_id"),
)

with because(Reason.STAFFTOOLS_API, github_actor="octocat"):
    session.delete(row)
    session.commit()
"""

import logging

from hydro_hooks.cause import (
    INHERIT,
    Cause,
    Reason,
    because,
    carried,
    carry,
    current_cause,
)
from hydro_hooks.creation import create_tables
from hydro_hooks.errors import (
    ConfigurationError,
    DatabaseError,
    HydroHooksError,
    InvalidEventError,
    MappingError,
    RecordingError,
)
from hydro_hooks.event import Event
from hydro_hooks.models import TrackedModel, installation, subscription, track
from hydro_hooks.registration import Hooks, register
from hydro_hooks.settings import Settings
from hydro_hooks.signals import delivered, recorded, rejected
from hydro_hooks.signing import HydroHmac, OutgoingRequest, Signer
from hydro_hooks.tables import metadata
from hydro_hooks.transition import Action, State

__all__ = [
    "INHERIT",
    "Action",
    "Cause",
    "ConfigurationError",
    "DatabaseError",
    "Event",
    "Hooks",
    "HydroHmac",
    "HydroHooksError",
    "InvalidEventError",
    "MappingError",
    "OutgoingRequest",
    "Reason",
    "RecordingError",
    "Settings",
    "Signer",
    "State",
    "TrackedModel",
    "because",
    "carried",
    "carry",
    "create_tables",
    "current_cause",
    "delivered",
    "installation",
    "metadata",
    "recorded",
    "register",
    "rejected",
    "subscription",
    "track",
]

# What it has to say is the app's to show: the logger is "hydro_hooks".
logging.getLogger(__name__).addHandler(logging.NullHandler())
