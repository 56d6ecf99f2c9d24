"""A google provider that knows every name, type and listed value, and reaches no cloud.

Terraform attaches to it by TF_REATTACH_PROVIDERS: `init`, `validate`, `plan` and `test` run, `apply` does not exist.
What a real apply would fill in is planned as a readable stand-in, so that a plan shows every value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

from tests.terraform.provider import wire
from tests.terraform.provider.wire import Json, Values

SCHEMA: Json = json.loads((Path(__file__).parent / "google_schema.json").read_text("utf-8"))
PROVIDER = {
    "attributes": {name: {"type": "string", "optional": True} for name in ("project", "region", "billing_project")}
    | {
        "user_project_override": {"type": "bool", "optional": True},
        "default_labels": {"type": ["map", "string"], "optional": True},
    }
}
PROJECT_NUMBER = "123456789012"
NAMES = ("name", "account_id", "secret_id", "repository_id", "service")
_EMPTY_OF = {"string": "", "number": 0, "bool": False}


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that Terraform finds this provider by, while it is served. `folder` is where its socket lies."""
    socket = folder / "google"
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((_Rpc(),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    attach = {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": {"Network": "unix", "String": str(socket)},
    }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({"registry.terraform.io/hashicorp/google": attach})}
    finally:
        server.stop(grace=None).wait()


class _Rpc(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self) -> None:
        self._project = "no-project"
        self._answers: dict[str, Callable[[dict[int, bytes]], bytes]] = {
            "GetProviderSchema": lambda _: _schemas(),
            "GetMetadata": lambda _: b"",
            "ValidateProviderConfig": lambda _: b"",
            "ConfigureProvider": self._configure,
            "ValidateResourceConfig": lambda request: _validate("resources", request),
            "ValidateDataResourceConfig": lambda request: _validate("data_sources", request),
            "UpgradeResourceState": lambda request: b"",
            "ReadResource": lambda request: wire.field(1, request.get(2, b"")),
            "PlanResourceChange": self._plan,
            "ReadDataSource": self._read,
            "StopProvider": lambda _: b"",
        }

    def service(self, details: Any) -> Any:
        answer = self._answers.get(details.method.rpartition("/")[2])
        if answer is None or not details.method.startswith("/tfplugin6."):
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: answer(wire.fields(request)))

    def _configure(self, request: dict[int, bytes]) -> bytes:
        self._project = (wire.values(request.get(2)) or {}).get("project") or self._project
        return b""

    def _plan(self, request: dict[int, bytes]) -> bytes:
        proposed = wire.values(request.get(3))
        name = request[1].decode()
        if proposed is not None:
            proposed = self._filled(
                SCHEMA["resources"][name], proposed, name, {"project": self._project} | _set(proposed)
            )
        return wire.field(1, wire.dynamic(proposed)) + wire.flag(5, 1)

    def _read(self, request: dict[int, bytes]) -> bytes:
        config = wire.values(request.get(2)) or {}
        name = request[1].decode()
        state = self._filled(SCHEMA["data_sources"][name], config, name, {"project": self._project} | _set(config))
        return wire.field(1, wire.dynamic(state))

    def _filled(self, block: Json, values: Values, resource: str, top: Values) -> Values:
        """What a provider would fill in after an apply, said beforehand."""
        filled = dict(values)
        for name, attribute in block["attributes"].items():
            if values.get(name) is None and "computed" in attribute:
                filled[name] = _stand_in(name, attribute, resource, top)
        for name, nested in block.get("blocks", {}).items():
            inside = values.get(name)
            if isinstance(inside, list):
                filled[name] = [self._filled(nested["block"], item, resource, top) for item in inside]
        return filled


def _schemas() -> bytes:
    parts = [wire.field(1, wire.schema(PROVIDER))]
    for number, kind in ((2, "resources"), (3, "data_sources")):
        for name, block in SCHEMA[kind].items():
            parts.append(wire.field(number, wire.field(1, name.encode()) + wire.field(2, wire.schema(block))))
    return b"".join(parts)


def _validate(kind: str, request: dict[int, bytes]) -> bytes:
    """Errors for values beside those that the provider's documentation lists."""
    name = request[1].decode()
    config = wire.values(request.get(2)) or {}
    wrong = _unlisted(SCHEMA[kind][name], config, name)
    return b"".join(wire.field(1, wire.error("Unsupported value", word)) for word in wrong)


def _unlisted(block: Json, values: Values, path: str) -> Iterator[str]:
    for name, attribute in block["attributes"].items():
        value = values.get(name)
        if isinstance(value, str) and value and attribute.get("values") and value not in attribute["values"]:
            yield f"{path}.{name}: found {value!r}; allowed: {', '.join(attribute['values'])}"
    for name, nested in block.get("blocks", {}).items():
        inside = values.get(name)
        for item in inside if isinstance(inside, list) else ():
            if isinstance(item, dict):
                yield from _unlisted(nested["block"], item, f"{path}.{name}")


def _set(values: Values) -> Values:
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _stand_in(name: str, attribute: Json, resource: str, top: Values) -> object:
    if not isinstance(attribute["type"], str):
        return {} if attribute["type"][0] == "map" else []
    named = next((top[word] for word in NAMES if top.get(word)), "one")
    email = f"{named}@{top['project']}.iam.gserviceaccount.com"
    defaults = {
        "project": top["project"],
        "project_id": top["project"],
        "number": PROJECT_NUMBER,
        "email": email,
        "member": f"serviceAccount:{email}",
        "uri": f"https://{named}-{PROJECT_NUMBER}.a.run.app",
        "url": f"https://{named}.example.net",
        "id": f"{resource}/{named}",
        "name": f"projects/{top['project']}/{resource}/{named}",
    }
    return defaults.get(name, _EMPTY_OF[attribute["type"]])
