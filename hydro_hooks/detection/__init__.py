"""Detection: from what SQLAlchemy does to steps, and at the commit to events.

`unit_of_work` sees the changes of sessions, `statements` what goes past them; `stamps`
and `origin` know who made a change, when and where; `rows` asks the database what a row
was; `transactions` keeps the steps of each connection's transaction; `recorder` writes
their net into the outbox.
"""
