"""Flask with Flask-SQLAlchemy: `python examples/flask_app.py`."""

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from hydro_hooks import create_tables, installation, register
from hydro_hooks.integrations.flask import HydroHooks
from hydro_hooks.testing import recorded

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
db = SQLAlchemy(app)
HydroHooks(app, github_actor=lambda request: request.headers.get("X-Login"))


class Customer(db.Model):  # type: ignore[name-defined,misc] # noqa: D101
    id: Mapped[int] = mapped_column(primary_key=True)


@app.post("/customers")
def add() -> str:  # noqa: D103
    db.session.add(Customer())
    db.session.commit()
    return "added"


with app.app_context(), register(installation(Customer)):
    db.create_all()
    create_tables(db.engine)
    app.test_client().post("/customers", headers={"X-Login": "octocat"})
    print([(event.reason, event.github_actor) for event in recorded(db.engine)])
