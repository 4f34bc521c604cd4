"""hydro_hooks in its users' stack: a module each, named after what it is for.

`wsgi`, `asgi` and `logging` need nothing more; `flask`, `celery`, `rq` and `alembic`
are extras of the same names.
"""
