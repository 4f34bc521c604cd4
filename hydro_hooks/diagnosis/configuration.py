"""Settings, schema and signer: what can be judged without a database or a gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from hydro_hooks import schema
from hydro_hooks.diagnosis.findings import (
    Finding,
    failed,
    not_checked,
    passed,
    warned,
)
from hydro_hooks.diagnosis.sample import sample_event
from hydro_hooks.errors import InvalidEventError
from hydro_hooks.settings import KAFKA, Settings
from hydro_hooks.signing import HydroHmac, OutgoingRequest, signer_named

_BODY: Final = b'{"events":[]}'


def examine_settings(settings: Settings) -> Finding:
    """Say where events go, and in whose name.

    Raises:
        ConfigurationError: They go to a topic, and what is said of it is wrong.
    """
    if settings.is_disabled:
        text = (
            "TRACKING_DISABLED is set: nothing is recorded, nothing sent; unset it to"
            " record"
        )
        return warned(text)
    if settings.base_url is None:
        text = (
            "HYDRO_BASE_URL is not set: events are recorded and kept, not delivered;"
            " set it and HYDRO_APP_SECRET to deliver"
        )
        return warned(text)
    if settings.base_url.startswith(KAFKA):
        settings.kafka_config()
    # A query may hold what is nobody's business.
    place = settings.base_url.partition("?")[0]
    return passed(f"events go to {place} in the name of {settings.app}")


def examine_registration() -> Finding:
    """Say that nothing can be said of what the app's processes do."""
    text = (
        "only the app knows whether register() runs in each of its processes; have it"
        " call hooks.check(engine) there"
    )
    return not_checked(text)


def examine_schema(settings: Settings) -> Finding:
    """Say whether events can be put into the wire schema.

    Raises:
        ConfigurationError: There is no such schema, or it is not valid.
    """
    wanted = schema.load(settings.schema)
    wanted.compile()
    try:
        wanted.check(wanted.project(sample_event()))
    except InvalidEventError as error:
        text = (
            f"an event with every field does not fit {error}; such an event is set"
            " aside as rejected: check what HYDRO_SCHEMA demands"
        )
        return warned(text)
    return passed(f"{wanted.name} is loaded, and an event with every field fits it")


def examine_signer(settings: Settings) -> Finding:
    """Say whether a request can be signed.

    Raises:
        ConfigurationError: There is no such signer.
    """
    if (settings.base_url or "").startswith(KAFKA):
        return not_checked("what goes to a topic is not signed")
    request = OutgoingRequest(
        method="POST",
        url=settings.base_url or "",
        body=_BODY,
        event_ids=(),
        sent_at=datetime.now(UTC),
    )
    if settings.signer is not None:
        return _examine_named(settings.signer, request)
    if not settings.secrets:
        return not_checked("HYDRO_APP_SECRET is not set, and nothing is to be sent")
    signer = HydroHmac(settings.secrets)
    if not signer.verify(_BODY, signer(request)["Authorization"]):
        return failed("HydroHmac does not verify what it signed; tell its authors")
    count = len(settings.secrets)
    whose = "the secret" if count == 1 else f"the first of the {count} secrets"
    return passed(f"HydroHmac signs with {whose} of HYDRO_APP_SECRET, and verifies it")


def _examine_named(name: str, request: OutgoingRequest) -> Finding:
    signer = signer_named(name)
    try:
        headers = sorted(signer(request))
    except Exception as error:
        # A user's signer may raise anything; what it says may hold a secret.
        text = (
            f"{name} fails on a request without events ({type(error).__name__}): check"
            " HYDRO_SIGNER and what it reads"
        )
        return failed(text)
    return passed(f"{name} adds {', '.join(headers) or 'no header'}")
