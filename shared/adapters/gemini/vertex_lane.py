"""Vertex AI as a lane: the same models by generateContent, with application default credentials and without any key.

The credentials are found and renewed by google-auth, as everywhere in Google Cloud: the account that the function runs
as, `gcloud auth application-default login` on one machine, or GOOGLE_APPLICATION_CREDENTIALS. Real credentials never
go to plain HTTP: a stand-in there gets a word that is no secret.

Vertex shares its capacity between all its customers (dynamic shared quota): there is no number for a project, and a 429
says that it is busy. So no 429 of Vertex names a limit or closes a day; the rate that it takes is learned.
https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from shared.adapters.gemini import http_call
from shared.adapters.gemini.generate_content_lane import GenerateContentLane
from shared.adapters.gemini.paid_images import PaidImages
from shared.adapters.payloads.answer_image import Read
from shared.core.provider.call import Answer, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.values.lanes import VERTEX
from shared.ports.lanes import AtSlot

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

    from shared.adapters.gemini.generate_content_lane import _Sdk

VERTEX_AI = "Vertex AI"
API_VERSION = "v1beta1"
"""The SDK's own, named here so that GOOGLE_GENAI_API_VERSION, which is meant for the Gemini API, does not change it."""
GOOGLE = "https://aiplatform.googleapis.com"
STAND_IN_TOKEN = "no-credentials"
BUSY = frozenset([FailureKind.QUOTA_MINUTE, FailureKind.QUOTA_DAY, FailureKind.QUOTA_SPEND])
LONGEST_BUSY = timedelta(seconds=60)


class VertexLane(GenerateContentLane):
    """The Lane port on `projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent`.

    `base_url` None: Google's own of the location. `credentials` None: application default credentials, looked for at
    the first call. Raises ValueError for a base URL that could never work.
    """

    def __init__(
        self,
        project: str,
        location: str = "global",
        base_url: str | None = None,
        *,
        credentials: Credentials | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("", base_url, api_version=API_VERSION, now=now, paid=PaidImages(base_url or GOOGLE))
        self._project = project
        self._location = location
        self._credentials = credentials

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        answer = await super().generate(order, timeout, at_slot)
        if isinstance(answer, Failure):
            answer = busy(answer)
        return replace(answer, lane=VERTEX)

    @property
    def _whom(self) -> str:
        return VERTEX_AI

    def _check_key(self, api_key: str) -> None:
        """There is none."""

    def _account(self) -> dict[str, Any]:
        credentials = self._credentials
        if credentials is None and (self._base_url or "").startswith("http://"):
            from google.oauth2.credentials import Credentials as Token

            credentials = Token(token=STAND_IN_TOKEN)  # type: ignore[no-untyped-call]
        return {"vertexai": True, "project": self._project, "location": self._location, "credentials": credentials}

    async def _exchange(self, sdk: _Sdk, order: Order, timeout: timedelta, call: http_call.Call) -> Read:
        from google.auth.exceptions import GoogleAuthError

        try:
            return await super()._exchange(sdk, order, timeout, call)
        except GoogleAuthError as error:
            return of_credentials(error)


def of_credentials(error: Exception) -> Failure:
    """The failure that missing or rejected credentials are. Nothing was sent: google-auth asks before the call."""
    from google.auth.exceptions import RefreshError, TransportError

    name = type(error).__name__
    if isinstance(error, TransportError) or (isinstance(error, RefreshError) and error.retryable):
        return Failure(FailureKind.CONNECTION, f"the application default credentials could not be renewed ({name})")
    reason = str(error.args[0]) if error.args else "no reason given"
    return Failure(FailureKind.CREDENTIAL, f"application default credentials: {reason}", name.lower(), explicit=True)


def busy(failure: Failure) -> Failure:
    """A 429 that names a quota means the same: capacity is shared, and its rate is learned."""
    if failure.kind not in BUSY:
        return failure
    hint = failure.retry_after if failure.kind is FailureKind.QUOTA_MINUTE else None
    return replace(
        failure,
        kind=FailureKind.QUOTA_UNKNOWN,
        retry_after=None if hint is None else min(hint, LONGEST_BUSY),
        quota_id=None,
        quota_value=None,
        explicit=False,
    )
