// client-node: typed and custom objects, typed errors, an informer, a lease.
import assert from 'node:assert/strict';
import {
  ApiException, CoordinationV1Api, CoreV1Api, CustomObjectsApi, KubeConfig, PatchStrategy,
  V1MicroTime, makeInformer, setHeaderOptions,
} from '@kubernetes/client-node';

const PLACE = {
  group: 'ark.mckinsey.com', version: 'v1alpha1', namespace: 'client-node', plural: 'queries',
};
const MERGE_PATCH = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

const config = new KubeConfig();
config.loadFromDefault();
const objects = config.makeApiClient(CustomObjectsApi);
const core = config.makeApiClient(CoreV1Api);
await core.createNamespace({ body: { metadata: { name: PLACE.namespace } } });
await followQueries();
await replaceOldVersion();
await lease();
const names = (await core.listNamespace()).items.map((it) => it.metadata.name);
assert(names.includes(PLACE.namespace) && names.includes('default'), names);
await core.deleteNamespace({ name: PLACE.namespace });

async function followQueries() {
  const seen = [];
  const list = () => objects.listNamespacedCustomObject(PLACE);
  const path = `/apis/${PLACE.group}/${PLACE.version}/namespaces/${PLACE.namespace}/${PLACE.plural}`;
  const informer = makeInformer(config, path, list);
  for (const event of ['add', 'update', 'delete']) {
    informer.on(event, (it) => seen.push(`${event} ${it.metadata.name}`));
  }
  informer.on('error', (error) => seen.push(`error ${error}`));
  await informer.start();
  await objects.createNamespacedCustomObject({ ...PLACE, body: query('followed') });
  await eventually('no add', () => seen.length === 1);
  await objects.patchNamespacedCustomObjectStatus(
    { ...PLACE, name: 'followed', body: { status: { phase: 'running' } } }, MERGE_PATCH);
  await eventually('no update', () => seen.length === 2);
  await objects.deleteNamespacedCustomObject({ ...PLACE, name: 'followed' });
  await eventually('no delete', () => seen.length === 3);
  assert.deepEqual(seen, ['add followed', 'update followed', 'delete followed']);
  await informer.stop();
}

async function replaceOldVersion() {
  const created = await objects.createNamespacedCustomObject({ ...PLACE, body: query('old') });
  await objects.patchNamespacedCustomObject(
    { ...PLACE, name: 'old', body: { spec: { input: 'bye' } } }, MERGE_PATCH);
  await assert.rejects(
    objects.replaceNamespacedCustomObject({ ...PLACE, name: 'old', body: created }),
    (error) => error instanceof ApiException && error.code === 409);
  await objects.deleteNamespacedCustomObject({ ...PLACE, name: 'old' });
}

async function lease() {
  const leases = config.makeApiClient(CoordinationV1Api);
  const where = { namespace: PLACE.namespace, name: 'held' };
  const now = new V1MicroTime();
  const spec = { holderIdentity: 'node', leaseDurationSeconds: 15, acquireTime: now, renewTime: now };
  await leases.createNamespacedLease(
    { namespace: PLACE.namespace, body: { metadata: { name: 'held' }, spec } });
  const held = await leases.readNamespacedLease(where);
  assert.equal(held.spec.holderIdentity, 'node');
  held.spec.leaseTransitions = 1;
  const renewed = await leases.replaceNamespacedLease({ ...where, body: held });
  assert.equal(renewed.spec.leaseTransitions, 1);
  await leases.deleteNamespacedLease(where);
}

function query(name) {
  return {
    apiVersion: 'ark.mckinsey.com/v1alpha1', kind: 'Query', metadata: { name },
    spec: { input: 'hello' },
  };
}

async function eventually(failure, condition) {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    assert(Date.now() < deadline, failure);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
