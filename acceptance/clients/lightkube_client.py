"""lightkube: generic resources, patches of each type, watches, errors."""
from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType


def main():
    kind = create_namespaced_resource("ark.mckinsey.com", "v1alpha1", "Query", "queries")
    client = Client(namespace="default")
    listed = client.list(kind)
    list(listed)
    created = client.create(kind(metadata={"name": "lightkube"}, spec={"input": "hello"}))
    client.patch(kind, "lightkube", {"metadata": {"labels": {"client": "lightkube"}}},
                 patch_type=PatchType.MERGE)
    client.patch(kind, "lightkube", [{"op": "add", "path": "/metadata/labels/a", "value": "b"}],
                 patch_type=PatchType.JSON)
    try:
        client.replace(created)
        raise AssertionError("a replacement of an old version is applied")
    except ApiError as error:
        assert (error.status.code, error.status.reason) == (409, "Conflict"), error.status
    found = list(client.list(kind, labels={"client": "lightkube", "a": "b"}))
    assert [item.metadata.name for item in found] == ["lightkube"], found
    client.delete(kind, "lightkube")
    events = []
    for event, item in client.watch(kind, resource_version=listed.resourceVersion):
        events.append(event)
        if event == "DELETED":
            break
    assert events == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"], events
    try:
        client.get(kind, "lightkube")
        raise AssertionError("a deleted object is returned")
    except ApiError as error:
        assert error.status.reason == "NotFound", error.status


main()
