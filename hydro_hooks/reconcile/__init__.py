"""What the tables say, compared with what is recorded: what changed unseen.

A trigger, another program or a statement on the driver's own cursor changes rows
without an event. Each such change is found here, and recorded where that is asked for;
so is the baseline, when an app that has rows already adopts hydro_hooks.

    for difference in Reconciliation(engine=engine, models=hooks.models).run():
        print(difference.subject_id, difference.action)
"""

from hydro_hooks.reconcile.differences import Difference
from hydro_hooks.reconcile.reconciliation import Reconciliation

__all__ = ["Difference", "Reconciliation"]
