"""kubernetes, the official client: typed errors, watches from a version, the dynamic client."""
import json

import kubernetes
from kubernetes.client.exceptions import ApiException

PLACE = {"group": "ark.mckinsey.com", "version": "v1alpha1", "namespace": "default",
         "plural": "queries"}


def query(name, **spec):
    return {"apiVersion": "ark.mckinsey.com/v1alpha1", "kind": "Query",
            "metadata": {"name": name}, "spec": {"input": "hello", **spec}}


def main():
    kubernetes.config.load_kube_config()
    objects = kubernetes.client.CustomObjectsApi()
    start = objects.list_namespaced_custom_object(**PLACE)["metadata"]["resourceVersion"]
    created = objects.create_namespaced_custom_object(body=query("official"), **PLACE)
    patched = objects.patch_namespaced_custom_object(
        name="official", body={"metadata": {"labels": {"client": "official"}}}, **PLACE)
    try:
        objects.replace_namespaced_custom_object(name="official", body=created, **PLACE)
        raise AssertionError("a replacement of an old version is applied")
    except ApiException as error:
        assert error.status == 409, error
    objects.patch_namespaced_custom_object_status(
        name="official", body={"status": {"phase": "running"}}, **PLACE)
    found = objects.list_namespaced_custom_object(label_selector="client=official", **PLACE)
    assert [item["status"]["phase"] for item in found["items"]] == ["running"], found
    assert found["items"][0]["metadata"]["generation"] == 1, found
    objects.delete_namespaced_custom_object(name="official", **PLACE)
    events = kubernetes.watch.Watch().stream(
        objects.list_namespaced_custom_object, resource_version=start, timeout_seconds=2, **PLACE)
    observed = [(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert [kind for kind, _ in observed] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"], observed
    assert observed[1][1] == patched["metadata"]["resourceVersion"], observed

    dynamic = kubernetes.dynamic.DynamicClient(kubernetes.client.ApiClient())
    queries = dynamic.resources.get(api_version="ark.mckinsey.com/v1alpha1", kind="Query")
    queries.create(body=query("dynamic"), namespace="default")
    assert queries.get(name="dynamic", namespace="default").spec.input == "hello"
    queries.delete(name="dynamic", namespace="default")
    apply(queries)


def apply(queries):
    """Two managers apply: a conflict, force, and the removal of what is no longer applied."""
    applied = queries.server_side_apply(
        body=query("applied", timeout="1m"), namespace="default", field_manager="one")
    assert applied.spec.timeout == "1m", applied
    other = query("applied", timeout="2m")
    try:
        queries.server_side_apply(body=other, namespace="default", field_manager="two")
        raise AssertionError("a conflict is applied")
    except ApiException as error:
        causes = json.loads(error.body)["details"]["causes"]
        assert [cause["field"] for cause in causes] == [".spec.timeout"], causes
    applied = queries.server_side_apply(
        body=other, namespace="default", field_manager="two", force_conflicts=True)
    assert applied.spec.timeout == "2m", applied
    managers = {(entry.manager, entry.operation) for entry in applied.metadata.managedFields}
    assert managers == {("one", "Apply"), ("two", "Apply")}, managers
    applied = queries.server_side_apply(
        body=query("applied"), namespace="default", field_manager="two")
    assert applied.spec.timeout != "2m", applied
    queries.delete(name="applied", namespace="default")


main()
