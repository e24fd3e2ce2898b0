"""kopf: an operator for all namespaces that reacts to creation, change and deletion."""
import asyncio
import threading
import time

import kopf
import kubernetes

GROUP, VERSION, PLURAL = "ark.mckinsey.com", "v1alpha1", "queries"
PLACE = {"group": GROUP, "version": VERSION, "namespace": "kopf", "plural": PLURAL}
CALLS = []


@kopf.on.create(PLURAL, labels={"client": "kopf"})
def created(spec, patch, body, **_):
    CALLS.append("create")
    kopf.info(body, reason="Created", message=f"input {spec['input']}")
    patch.status["phase"] = "running"


@kopf.on.update(PLURAL, labels={"client": "kopf"}, field="spec.input")
def updated(new, patch, **_):
    CALLS.append(f"update {new}")
    patch.status["phase"] = "done"


@kopf.on.delete(PLURAL, labels={"client": "kopf"})
def deleted(**_):
    CALLS.append("delete")


def eventually(what, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what}; calls: {CALLS}"
        time.sleep(0.05)


def main():
    kubernetes.config.load_kube_config()
    core = kubernetes.client.CoreV1Api()
    core.create_namespace({"metadata": {"name": "kopf"}})
    ready, stop = threading.Event(), threading.Event()
    operator = threading.Thread(target=lambda: asyncio.run(kopf.operator(
        clusterwide=True, standalone=True, ready_flag=ready, stop_flag=stop)))
    operator.start()
    try:
        assert ready.wait(60), "the operator does not start"
        use()
        found = core.list_namespaced_event(
            "kopf", field_selector="involvedObject.name=kopf,reason=Created")
        assert [event.message for event in found.items] == ["input hello"], found
    finally:
        stop.set()
        operator.join(60)
    assert not operator.is_alive(), "the operator does not stop"
    core.delete_namespace("kopf")


def use():
    objects = kubernetes.client.CustomObjectsApi()

    def phase():
        found = objects.get_namespaced_custom_object(name="kopf", **PLACE)
        return found.get("status", {}).get("phase")

    objects.create_namespaced_custom_object(body={
        "apiVersion": f"{GROUP}/{VERSION}", "kind": "Query",
        "metadata": {"name": "kopf", "labels": {"client": "kopf"}}, "spec": {"input": "hello"},
    }, **PLACE)
    eventually("no reaction to the creation", lambda: phase() == "running")
    objects.patch_namespaced_custom_object(name="kopf", body={"spec": {"input": "bye"}}, **PLACE)
    eventually("no reaction to the change", lambda: phase() == "done")
    objects.delete_namespaced_custom_object(name="kopf", **PLACE)
    eventually("the finalizer stays", lambda: not objects.list_namespaced_custom_object(
        **PLACE)["items"])
    assert CALLS == ["create", "update bye", "delete"], CALLS
    events = kubernetes.client.CoreV1Api()
    eventually("no event", lambda: events.list_namespaced_event(
        "kopf", field_selector="involvedObject.name=kopf,reason=Created").items)


main()
