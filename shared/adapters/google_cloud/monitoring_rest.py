"""Cloud Monitoring's client over REST, for the one call that we need: the library ships a gRPC transport only.

Import it where it is used: it loads the library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.api_core import exceptions, gapic_v1, rest_helpers
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.monitoring_v3 import ListTimeSeriesRequest, ListTimeSeriesResponse
from google.cloud.monitoring_v3.services.metric_service.transports.base import (
    DEFAULT_CLIENT_INFO,
    MetricServiceTransport,
)

from shared.adapters.process.proxies import trusted

GOOGLE = "https://monitoring.googleapis.com"


class RestMetrics(MetricServiceTransport):
    """`timeSeries.list` as GET /v3/projects/P/timeSeries; the client does the paging."""

    def __init__(self, server: str | None, credentials: Credentials | None) -> None:
        """`server` as `http://HOST:PORT`; None = Google's. Without credentials the environment's are used."""
        self._url = server or GOOGLE
        super().__init__(host=self._url.partition("://")[2], credentials=credentials)
        self._session: Any = AuthorizedSession(self._credentials)  # type: ignore[no-untyped-call]
        self._session.trust_env = trusted(server)
        wrapped = gapic_v1.method.wrap_method(  # type: ignore[no-untyped-call]
            self.list_time_series, client_info=DEFAULT_CLIENT_INFO
        )
        self._wrapped_methods = {self.list_time_series: wrapped}

    @property
    def kind(self) -> str:
        return "rest"

    @property
    def list_time_series(self) -> Callable[..., ListTimeSeriesResponse]:
        return self._list

    def close(self) -> None:
        self._session.close()

    def _list(
        self, request: ListTimeSeriesRequest, *, timeout: float, metadata: Sequence[tuple[str, str]] = ()
    ) -> ListTimeSeriesResponse:
        """Raises GoogleAPICallError, requests' errors and ParseError, as the libraries' own REST transports do."""
        query = ListTimeSeriesRequest.to_dict(
            request,
            use_integers_for_enums=False,
            preserving_proto_field_name=False,
            always_print_fields_with_no_presence=False,
        )
        name = query.pop("name")
        response = self._session.get(
            f"{self._url}/v3/{name}/timeSeries",
            params=rest_helpers.flatten_query_params(query, strict=True),  # type: ignore[no-untyped-call]
            headers=dict(metadata),
            timeout=timeout,
        )
        if response.status_code >= 400:
            raise exceptions.from_http_response(response)  # type: ignore[no-untyped-call]
        answer: ListTimeSeriesResponse = ListTimeSeriesResponse.from_json(response.content, ignore_unknown_fields=True)
        return answer
