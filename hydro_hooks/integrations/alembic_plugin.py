"""What Alembic loads by itself wherever hydro_hooks is installed (entry point).

Its autogenerate then takes our tables for what they are also where env.py does not
import `hydro_hooks.integrations.alembic`; without that it would drop the whole record.
Loads nothing of Alembic's, which is just being loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from alembic.runtime.plugins import Plugin
    from alembic.util import PriorityDispatchResult


def setup(plugin: Plugin) -> None:
    """Have autogenerate look at our tables last, when it has looked at all of them."""
    from alembic.util import DispatchPriority  # noqa: PLC0415 - it is there by now

    plugin.add_autogenerate_comparator(
        _compare, "schema", priority=DispatchPriority.LAST
    )


def _compare(
    found: AutogenContext, upgrade: UpgradeOps, _schemas: object
) -> PriorityDispatchResult:
    # Not before: Alembic has to be there.
    from hydro_hooks.integrations.alembic import compare  # noqa: PLC0415

    return compare(found, upgrade)
