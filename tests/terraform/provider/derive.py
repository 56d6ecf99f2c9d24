"""Writes google_schema.json from the wheel of `cdktn-provider-google`: names and types of what our Terraform uses.

    pip download --no-deps cdktn-provider-google==21.1.0 -d build
    python -m tests.terraform.provider.derive build/cdktn_provider_google-21.1.0-py3-none-any.whl

The wheel (64 MB) carries the provider's generated bindings with a description of every type (JSII). Three things are
not in it and are taken as follows: a set counts as a list, an optional attribute that the provider may also fill in is
known only for `id` and `project`, and read-only attributes made of blocks are left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = Any

HERE = Path(__file__).parent
RESOURCES = (
    "google_artifact_registry_repository",
    "google_artifact_registry_repository_iam_member",
    "google_billing_budget",
    "google_cloud_quotas_quota_preference",
    "google_cloud_run_service_iam_member",
    "google_cloud_run_v2_service",
    "google_cloud_run_v2_worker_pool",
    "google_cloud_scheduler_job",
    "google_firestore_backup_schedule",
    "google_firestore_database",
    "google_firestore_field",
    "google_firestore_index",
    "google_iam_workload_identity_pool",
    "google_iam_workload_identity_pool_provider",
    "google_iap_web_cloud_run_service_iam_member",
    "google_logging_metric",
    "google_monitoring_alert_policy",
    "google_monitoring_custom_service",
    "google_monitoring_dashboard",
    "google_monitoring_notification_channel",
    "google_monitoring_slo",
    "google_project_iam_audit_config",
    "google_project_iam_custom_role",
    "google_project_iam_member",
    "google_project_service",
    "google_pubsub_schema",
    "google_pubsub_subscription",
    "google_pubsub_subscription_iam_member",
    "google_pubsub_topic",
    "google_pubsub_topic_iam_member",
    "google_secret_manager_secret",
    "google_secret_manager_secret_iam_member",
    "google_service_account",
    "google_service_account_iam_member",
    "google_storage_bucket",
    "google_storage_bucket_iam_member",
    "google_storage_bucket_object",
)
DATA_SOURCES = ("google_project",)
FILLED_IN = ("id", "project")
OF_THE_BINDINGS = {"connection", "count", "dependsOn", "forEach", "lifecycle", "provider", "provisioners"}
READ_ONLY = {"string": "string", "number": "number", "boolean": "bool"}
COMMON_STATE = {"fqn", "friendlyUniqueId", "terraformMetaArguments", "terraformResourceType", "tfResourceType"}


def main() -> None:
    wheel = Path(sys.argv[1])
    description = _description(wheel)
    derive = _Derivation(description["types"])
    schema = {
        "derived_from": {"wheel": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()},
        "provider": derive.version(),
        "resources": {name: derive.block_of(name) for name in RESOURCES},
        "data_sources": {name: derive.block_of(f"data_{name}") for name in DATA_SOURCES},
    }
    text = json.dumps(schema, indent=1, sort_keys=True)
    (HERE / "google_schema.json").write_text(re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", _on_one_line, text) + "\n")


def _on_one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\s*\n\s*", " ", match[1]) + "]"


def _description(wheel: Path) -> Json:
    with zipfile.ZipFile(wheel) as outer:
        name = next(word for word in outer.namelist() if word.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as inner:
            file = inner.extractfile("package/.jsii")
            assert file is not None
            return json.load(file)


class _Derivation:
    def __init__(self, types: dict[str, Json]) -> None:
        self._types = types
        self._by_lower = {name.rpartition(".")[2].lower(): name for name in types}

    def version(self) -> str:
        docs = json.dumps(self._types[self._by_lower["pubsubtopicconfig"]])
        match = re.search(r"hashicorp/google/([\d.]+)/docs", docs)
        assert match is not None
        return f"hashicorp/google {match[1]}"

    def block_of(self, resource: str) -> Json:
        """`google_pubsub_topic` -> its attributes and blocks."""
        words = resource.removeprefix("google_").replace("_", "")
        config = self._by_lower[f"{words}config"]
        block = self._block(config)
        kind = config.removesuffix("Config")
        for item in self._types[kind].get("properties", ()):
            name = _snake(item["name"])
            if item.get("immutable") and not item.get("static") and item["name"] not in COMMON_STATE:
                self._read_only(block, name, item)
        for name in FILLED_IN:
            if "optional" in block["attributes"].get(name, {}):
                block["attributes"][name]["computed"] = True
        return block

    def _block(self, struct: str) -> Json:
        attributes: dict[str, Json] = {}
        blocks: dict[str, Json] = {}
        for item in self._types[struct].get("properties", ()):
            if item["name"] in OF_THE_BINDINGS:
                continue
            name = _documented_name(item) or _snake(item["name"])
            nested, is_list = self._nested(item["type"])
            if nested is None:
                attributes[name] = _attribute(item)
            else:
                blocks[name] = {"nesting": _nesting(name, is_list), "block": self._block(nested)}
                if not item.get("optional"):
                    blocks[name]["required"] = True
                self._outputs(nested, blocks[name]["block"])
        return {"attributes": attributes, "blocks": blocks} if blocks else {"attributes": attributes}

    def _outputs(self, struct: str, block: Json) -> None:
        """What the provider fills in inside a block, as `service_config[0].uri`."""
        for item in self._types.get(f"{struct}OutputReference", {}).get("properties", ()):
            if item.get("immutable"):
                self._read_only(block, _snake(item["name"]), item)

    def _read_only(self, block: Json, name: str, described: Json) -> None:
        names = {*block["attributes"], *block.get("blocks", {})}
        plain = {_plain(item) for item in names}
        if described["name"].endswith("Input") or _plain(name) in plain:
            return
        if described["type"].get("fqn") == "cdktn.StringMap":
            block["attributes"][name] = {"type": ["map", "string"], "computed": True}
        elif described["type"].get("primitive") in READ_ONLY:
            block["attributes"][name] = {"type": READ_ONLY[described["type"]["primitive"]], "computed": True}

    def _nested(self, described: Json) -> tuple[str | None, bool]:
        """The struct of a nested block, and whether there may be several."""
        for one in described.get("union", {}).get("types", [described]):
            if "collection" in one and one["collection"]["kind"] == "array":
                inner, _ = self._nested(one["collection"]["elementtype"])
                if inner is not None:
                    return inner, True
            if one.get("fqn", "").startswith("@cdktn/provider-google."):
                return one["fqn"], False
        return None, False


def _nesting(name: str, is_list: bool) -> str:
    if name == "timeouts":
        return "single"
    return "list" if is_list else "one"


def _attribute(described: Json) -> Json:
    attribute: dict[str, Json] = {"type": _type(described["type"])}
    attribute["optional" if described.get("optional") else "required"] = True
    docs = described.get("docs", {})
    words = f"{docs.get('summary', '')} {docs.get('remarks', '')}"
    if values := re.search(r"Possible values: \[([^\]]+)\]", words):
        attribute["values"] = re.findall(r'"([^"]*)"', values[1])
    return attribute


def _type(described: Json) -> Json:
    for one in described.get("union", {}).get("types", [described]):
        if "primitive" in one:
            return READ_ONLY[one["primitive"]]
        if "collection" in one:
            kind = {"array": "list", "map": "map"}[one["collection"]["kind"]]
            return [kind, _type(one["collection"]["elementtype"])]
    raise ValueError(f"no type known for {described}")


def _documented_name(described: Json) -> str | None:
    match = re.search(r"/docs/[\w-]+/\w+#(\w+) ", json.dumps(described.get("docs", {})))
    return match[1] if match else None


def _snake(camel: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", camel).lower()


def _plain(name: str) -> str:
    return name.replace("_", "")


if __name__ == "__main__":
    main()
