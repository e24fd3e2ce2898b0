"""kr8s: kinds from discovery, objects with methods, waits."""
import kr8s
from kr8s.objects import new_class


def main():
    api = kr8s.api()
    kind = new_class(kind="Query", version="ark.mckinsey.com/v1alpha1", namespaced=True,
                     plural="queries")
    query = kind({"metadata": {"name": "kr8s", "namespace": "default"}, "spec": {"input": "hello"}})
    query.create()
    query.patch({"metadata": {"labels": {"client": "kr8s"}}})
    query.patch({"status": {"phase": "running"}}, subresource="status")
    query.wait("jsonpath='{.status.phase}'=running", timeout=5)
    found = list(api.get("queries.ark.mckinsey.com", namespace="default",
                         label_selector={"client": "kr8s"}))
    assert [(item.name, item.status.phase) for item in found] == [("kr8s", "running")], found
    query.delete()
    query.wait("delete", timeout=5)
    assert not query.exists()


main()
