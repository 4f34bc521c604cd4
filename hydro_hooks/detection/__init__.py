"""Detection: from what SQLAlchemy does to steps, and at the commit to events.

`unit_of_work` sees the changes of sessions; `stamps` and `origin` know who made a
change, when and where. `statements` sees what goes past the sessions; an `execution`
is followed: `compiled_parts` and `text_parts` say what its `parts` do; `matching`,
`inserting` and `text_matching` which rows; `reach` what the database changes with them;
`dependants` whose values come from them; `sql_tokens`, `raw_sql` and `sql_text` read
text. `rows` and `counters` ask the database, `connections` knows where the databases
differ. `transactions` keeps the steps of each connection's transaction; `recorder`
writes their net into the outbox.
"""
