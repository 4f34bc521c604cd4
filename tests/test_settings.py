from __future__ import annotations

import pytest

from hydro_hooks import ConfigurationError, Settings

URL = "https://hydro.example/api/v1/events"


def test_nothing_set_records_and_does_not_deliver() -> None:
    settings = Settings.from_env({})

    assert (settings.base_url, settings.secrets) == (None, ())
    assert (settings.app, settings.schema) == ("jira-integration", "jira.v1.Action")
    assert not settings.is_disabled


def test_the_environment_is_read() -> None:
    settings = Settings.from_env(
        {
            "HYDRO_BASE_URL": URL,
            "HYDRO_APP_SECRET": "new old",
            "HYDRO_APP": "other",
            "HYDRO_SCHEMA": "jira.v0.Action",
            "HYDRO_DATABASE_URL": "sqlite://",
            "TRACKING_DISABLED": "1",
        }
    )

    assert settings == Settings(
        base_url=URL,
        secrets=("new", "old"),
        app="other",
        schema="jira.v0.Action",
        database_url="sqlite://",
        is_disabled=True,
    )


def test_an_argument_beats_the_environment() -> None:
    environ = {"HYDRO_BASE_URL": URL, "HYDRO_APP_SECRET": "s", "HYDRO_SCHEMA": "a"}

    settings = Settings.from_env(environ, base_url=URL + "2", schema="b")

    assert (settings.base_url, settings.schema) == (URL + "2", "b")


@pytest.mark.parametrize("value", ["maybe", "ja"])
def test_a_kill_switch_that_is_neither_on_nor_off_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TRACKING_DISABLED is '{value}'"):
        Settings.from_env({"TRACKING_DISABLED": value})


@pytest.mark.parametrize("value", ["true", "1", "TRUE", "yes", "on"])
def test_tracking_is_disabled_as_by_the_deployed_client(value: str) -> None:
    assert Settings.from_env({"TRACKING_DISABLED": value}).is_disabled
    assert not Settings.from_env({"TRACKING_DISABLED": "0"}).is_disabled


@pytest.mark.parametrize("secret", [None, "", "  "])
def test_a_url_without_a_secret_is_refused(secret: str | None) -> None:
    environ = {"HYDRO_BASE_URL": URL} | ({"HYDRO_APP_SECRET": secret} if secret else {})

    with pytest.raises(ConfigurationError, match="HYDRO_APP_SECRET is unset or empty"):
        Settings.from_env(environ)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hydro.example/events", "clear text"),
        ("http://127.0.0.1.evil.example/", "clear text"),
        ("ftp://hydro.example/", "not a gateway's URL"),
        ("hydro.example", r"not a gateway's URL \('hydro.example'\)"),
        ("https://", "not a gateway's URL"),
        ("https://user:pass@hydro.example/", "user name or password"),
        ("https://hydro.example:port/", "not a URL"),
        ("https://[::1/", "not a URL"),
    ],
)
def test_urls_that_events_must_not_go_to_are_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        Settings(base_url=url, secrets=("s",))
    assert "pass" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8787/e", "http://localhost/e", "http://[::1]:80/e", URL]
)
def test_https_and_loopback_are_accepted(url: str) -> None:
    assert Settings(base_url=url, secrets=("s",)).base_url == url


def test_a_secret_is_not_in_the_repr() -> None:
    settings = Settings(
        base_url=URL, secrets=("s3cr3t",), database_url="postgresql://u:s3cr3t@h/d"
    )

    assert "s3cr3t" not in repr(settings)


@pytest.mark.parametrize("app", ["", "jira\nX-Evil: 1", "jirä"])
def test_an_app_name_that_is_no_header_is_refused(app: str) -> None:
    with pytest.raises(ConfigurationError, match="HYDRO_APP"):
        Settings(app=app)


def test_a_signer_of_the_apps_own_needs_no_secret() -> None:
    environ = {"HYDRO_BASE_URL": URL, "HYDRO_SIGNER": "app.hydro:signers.first"}

    assert Settings.from_env(environ).signer == "app.hydro:signers.first"


@pytest.mark.parametrize("name", ["app.hydro", ":sign", "app/hydro.py:sign", "a:b:c"])
def test_a_signer_in_another_form_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="module:attribute"):
        Settings.from_env({"HYDRO_SIGNER": name})
