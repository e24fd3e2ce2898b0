//! Each property holds for some seconds of inputs, the same ones in every run.

use fuzz::mutate::Mutator;
use fuzz::targets;

/// Inputs of each property: two to four seconds on two processors.
const INPUTS: usize = 20_000;

/// Trees that are as deep as they may be need it.
const STACK_BYTES: usize = kube_json::STACK_SIZE;

const SEEDS: &[&[u8]] = &[
    br#"{"a":[1,-0.5,1e3,true,null,"\u00e9\n"],"b":{"c":{}},"":""}"#,
    br#"{"apiVersion":"v1","kind":"K","metadata":{"name":"x","labels":{"a":"b"}}}"#,
    b"a: &x [1, 2]\nb: *x\nc: {<<: {d: 1}}\n? e\n: |\n  text\n",
    b"{\"a\":[1,2,{\"b\":3}]}\0[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":{}},{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/c\"}]",
    b"{\"a\":{\"b\":1},\"c\":[1]}\0{\"a\":{\"b\":null,\"d\":{\"e\":null}},\"c\":2}",
    b"a=b,tier!=2,x.io/a in (b,c),!gone,tier>1,app notin (web)",
    b"metadata.name=x,spec.a!=b\\,c",
    b".status.conditions[?(@.type==\"Ready\")].status",
    b"..list[0:2:1]['metadata','status']",
    b"^([a-z]+(-[a-z0-9]*)?){1,3}$\0abc-9",
    b"/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries/x/status?dryRun=All&fieldManager=m",
    b"/api/v1/watch/namespaces/a/pods?resourceVersion=5&limit=10&timeoutSeconds=3&labelSelector=a%3Db",
    br#"{"f:spec":{".":{},"f:a":{},"k:{\"a\":\"x\"}":{".":{},"f:b":{}},"v:\"x\"":{},"i:3":{}}}"#,
    b"{\"a\":[\"x\",\"y\"],\"b\":[{\"a\":\"x\",\"b\":\"1\"}],\"c\":[\"x\"],\"d\":{\"a\":\"x\"}}\0{\"a\":[\"z\",\"y\"],\"b\":[{\"a\":\"x\",\"b\":\"2\"},{\"a\":\"y\"}],\"c\":[],\"d\":{\"b\":1}}",
    include_bytes!("../../kinds/ark/models.yaml"),
    b"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.g.io}\nspec:\n  group: g.io\n  scope: Namespaced\n  names: {plural: as, kind: A}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, default: {}}}}}\n",
];

#[test]
fn every_property_holds_for_many_inputs() {
    let seed = std::env::var("ARK_FUZZ_SEED").ok();
    let seed = seed.map_or(1, |seed| seed.parse().expect("a number in ARK_FUZZ_SEED"));
    let mut failed = Vec::new();
    for (name, target) in targets::ALL {
        let checked = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let mut inputs = Mutator::new(SEEDS, seed);
                for number in 0..INPUTS {
                    let input = inputs.input();
                    let held = std::panic::catch_unwind(|| target(&input));
                    assert!(
                        held.is_ok(),
                        "{name} fails for input {number} of seed {seed}: \"{}\"",
                        input.escape_ascii()
                    );
                }
            });
        if checked.expect("a thread").join().is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
