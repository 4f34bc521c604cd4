"""What ails recording and delivery: settings, database, clock and gateway, one by one.

Nothing is changed: what is written is rolled back, and what is sent carries no event.
A finding names the thing, what was found and the next step, and holds no secret.
"""

from hydro_hooks.diagnosis.configuration import (
    examine_registration,
    examine_schema,
    examine_settings,
    examine_signer,
)
from hydro_hooks.diagnosis.database import (
    LOCK_REMEDY,
    examine_clock,
    examine_server,
    examine_tables,
    examine_writing,
    has_known_kind,
    never_wait_long,
)
from hydro_hooks.diagnosis.findings import Finding, Outcome
from hydro_hooks.diagnosis.gateway import examine_gateway
from hydro_hooks.diagnosis.topic import examine_topic
from hydro_hooks.diagnosis.variables import examine_variables

__all__ = [
    "LOCK_REMEDY",
    "Finding",
    "Outcome",
    "examine_clock",
    "examine_gateway",
    "examine_registration",
    "examine_schema",
    "examine_server",
    "examine_settings",
    "examine_signer",
    "examine_tables",
    "examine_topic",
    "examine_variables",
    "examine_writing",
    "has_known_kind",
    "never_wait_long",
]
