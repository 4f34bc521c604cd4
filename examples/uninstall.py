"""A script of staff: delete what connects a site to GitHub, in bulk, and say why.

    export DATABASE_URL=postgresql+psycopg://localhost/app
    python examples/uninstall.py --staff hubot https://acme.atlassian.net 4711 4712

What it deletes is recorded as what the app deletes: it calls track_customers(), and
gives its reason with `because`. Who runs it, only its command line can tell.
"""

from __future__ import annotations

import argparse
import os

from jira_app import Subscription, open_database, track_customers
from sqlalchemy.orm import Session

from hydro_hooks import because


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    engine = open_database(arguments.database)
    with track_customers(), Session(engine) as session:
        with because("uninstall script", github_actor=arguments.staff):
            count = Subscription.uninstall(
                session,
                jira_host=arguments.host,
                github_installation_ids=arguments.installations,
            )
        session.commit()
    engine.dispose()
    print(f"{count} deleted")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Delete a site's subscriptions.")
    url = os.environ.get("DATABASE_URL")
    parser.add_argument("--database", default=url, required=not url, help="its URL")
    parser.add_argument("--staff", required=True, help="your login")
    parser.add_argument("host", help="such as https://acme.atlassian.net")
    parser.add_argument("installations", nargs="+", type=int, help="ids on GitHub")
    return parser


if __name__ == "__main__":
    main()
