"""Jira, GitHub and people, as the example app hears them: payloads, signed and sent.

The payloads lie in webhooks/. Those of GitHub have the shape of its `installation`
webhook, those of Jira that of Atlassian Connect's lifecycle callbacks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from flask.testing import FlaskClient
from jira_app import create_app, security
from sqlalchemy import Engine
from werkzeug.test import TestResponse

WEBHOOKS: Final = Path(__file__).parent / "webhooks"
TOKEN_SECONDS: Final = 180


def payload(name: str) -> dict[str, Any]:
    """Return a payload of webhooks/, such as `jira.installed`."""
    body: dict[str, Any] = json.loads((WEBHOOKS / f"{name}.json").read_text("utf-8"))
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A Jira site that has the app, and what it has connected to it on GitHub.

    Args:
        host: Such as `https://example.atlassian.net`.
        client_key: Jira's name for it.
        secret: That Jira shares with the app.
        github_installation_id: On GitHub.
    """

    host: str
    client_key: str
    secret: str = field(repr=False)
    github_installation_id: int

    def token(self, request_hash: str, *, user: str | None = None) -> str:
        """Return what Jira signs in its name, for one of its users or for none."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.client_key,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "qsh": request_hash,
        }
        if user is not None:
            claims["sub"] = user
        return jwt.encode(claims, self.secret, algorithm="HS256")


class OutsideWorld:
    """The app, and whoever calls it.

    Args:
        engine: On the app's database.

    Attributes:
        app: The app.
        client: Flask's test client of it.
        jira_answer: The status with which Jira answers the verification call.
        github_answers: The status with which GitHub answers where an installation is
            looked for, by its id; 200 where it is not named.
    """

    def __init__(self, engine: Engine) -> None:
        self.jira_answer = 200
        self.github_answers: dict[int, int] = {}
        self._github_secret = secrets.token_hex()
        self.app = create_app(
            engine,
            verify=lambda _customer: self.jira_answer,
            find=lambda number: self.github_answers.get(number, 200),
            github_secret=self._github_secret,
            secret_key=secrets.token_hex(),
        )
        self.client = self.app.test_client()

    def jira_calls(
        self,
        event: str,
        site: Site,
        *,
        user: str | None = None,
        is_new: bool = False,
        changes: Mapping[str, object] | None = None,
    ) -> TestResponse:
        """Send a lifecycle callback.

        Args:
            event: `installed`, `enabled`, `disabled` or `uninstalled`.
            site: Whose it is.
            user: The account id of the Jira user who made Jira send it.
            is_new: Not signed, as the first callback for a site.
            changes: To the payload.
        """
        body = payload(f"jira.{event}")
        body |= {"clientKey": site.client_key, "baseUrl": site.host}
        if "sharedSecret" in body:
            body["sharedSecret"] = site.secret
        path = f"/jira/events/{event}"
        headers = {}
        if not is_new:
            token = site.token(security.hash_of("POST", path), user=user)
            headers["Authorization"] = f"JWT {token}"
        return self.client.post(path, json=body | dict(changes or {}), headers=headers)

    def github_calls(
        self,
        action: str,
        site: Site,
        *,
        login: str | None = None,
        event: str = "installation",
        changes: Mapping[str, object] | None = None,
    ) -> TestResponse:
        """Send a webhook.

        Args:
            action: `created`, `suspend`, `unsuspend` or `deleted`.
            site: Whose GitHub installation it is about.
            login: Who did it; None: as in the payload.
            event: GitHub's name of the webhook.
            changes: To the payload.
        """
        told = payload(f"github.installation.{action}")
        told["installation"]["id"] = site.github_installation_id
        told["sender"]["login"] = login or told["sender"]["login"]
        body = json.dumps(told | dict(changes or {})).encode()
        digest = hmac.new(self._github_secret.encode(), body, hashlib.sha256)
        headers = {
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": f"sha256={digest.hexdigest()}",
        }
        return self.client.post(
            "/github/events",
            data=body,
            headers=headers,
            content_type="application/json",
        )

    def staff_does(self, action: str, site: Site, *, login: str) -> TestResponse:
        """Have a member of staff `uninstall` or `verify` a customer."""
        with self._logged_in(staff=login) as client:
            return client.post(f"/api/jira/{action}", data={"customer": site.host})

    def person_connects(self, site: Site, *, login: str, user: str) -> TestResponse:
        """Have a GitHub user, who is also one of the site's, connect the two."""
        form = {
            "github_installation_id": site.github_installation_id,
            "jwt": site.token(security.PAGE, user=user),
        }
        with self._on_github(site, login) as client:
            return client.post("/github/configuration", data=form)

    def person_deletes_on_github(self, site: Site, *, login: str) -> TestResponse:
        """Have a GitHub user delete the subscription."""
        form = {
            "github_installation_id": site.github_installation_id,
            "jira_host": site.host,
        }
        with self._on_github(site, login) as client:
            return client.post("/github/subscription/delete", data=form)

    def person_deletes_in_jira(self, site: Site, *, user: str) -> TestResponse:
        """Have a user of the site delete the subscription."""
        form = {
            "github_installation_id": site.github_installation_id,
            "jwt": site.token(security.PAGE, user=user),
        }
        return self.client.post("/jira/subscription/delete", data=form)

    def person_looks_in_jira(self, site: Site, *, user: str) -> TestResponse:
        """Have a user of the site open the app's page, which Jira loads in a frame."""
        path = "/jira/configuration"
        token = site.token(security.hash_of("GET", path), user=user)
        return self.client.get(path, query_string={"jwt": token})

    def _on_github(self, site: Site, login: str) -> AbstractContextManager[FlaskClient]:
        installations = [site.github_installation_id]
        return self._logged_in(github={"login": login, "installations": installations})

    @contextmanager
    def _logged_in(self, **session: str | Mapping[str, Any]) -> Iterator[FlaskClient]:
        """Give the client the cookie that the app's OAuth callbacks would give it."""
        with self.client.session_transaction() as cookie:
            cookie.update(session)
        yield self.client
        with self.client.session_transaction() as cookie:
            cookie.clear()
