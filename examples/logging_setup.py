"""The app's own log says why and by whom: `python examples/logging_setup.py`."""

import logging
import sys

import customers

from hydro_hooks import Reason, because
from hydro_hooks.integrations.logging import CauseFilter

handler = logging.StreamHandler(sys.stdout)
handler.addFilter(CauseFilter())
handler.setFormatter(
    logging.Formatter("%(message)s (%(hydro_reason)s, by %(hydro_jira_actor)s)")
)
logging.basicConfig(handlers=[handler], level=logging.INFO)

with because(Reason.JIRA_WEBHOOK, jira_actor="557058:0f9b"):
    customers.add()
    logging.getLogger("app").info("a customer is added")
