# Picks from kube-apiserver's published OpenAPI what is the same for all custom resources; see README.md.
# Input: nothing; $v2 and $v3 hold the documents /openapi/v2 and /openapi/v3/apis/judge.example.com/v1.
def own: startswith("io.k8s.");
def key: if has("$ref") then .["$ref"] | ltrimstr("#/parameters/") else .name end;
def keys_of: [.parameters // [] | .[] | key | select(startswith("body") | not)];
# One entry a line, so that a refresh can be reviewed.
def lines: to_entries | map("    \(.key | tojson): \(.value | tojson)") | "{\n" + join(",\n") + "\n  }";

($v2[0].paths["/apis/judge.example.com/v1/namespaces/{namespace}/shapes"]) as $collection
| ($v2[0].paths["/apis/judge.example.com/v1/namespaces/{namespace}/shapes/{name}"]) as $item
| ($v3[0].components.schemas) as $schemas
| ($schemas["com.example.judge.v1.Shape"].properties) as $object
| {
    list: $collection.get, post: $collection.post, deletecollection: $collection.delete,
    get: $item.get, put: $item.put, patch: $item.patch, delete: $item.delete, path: $collection
  } as $operations
| {
    definitions: ($schemas | with_entries(select(.key | own))),
    object: ($object | {apiVersion, kind, metadata}),
    embedded: ($object.spec.properties.embedded.properties | {apiVersion, kind, metadata}),
    list: ($schemas["com.example.judge.v1.ShapeList"].properties | {apiVersion, kind, metadata}),
    operations: ($operations | map_values(keys_of)),
    shared: ([$operations[].parameters // [] | .[] | select(has("$ref")) | key] | unique
      | map({key: ., value: $v2[0].parameters[.]}) | from_entries),
    inline: ([$operations[].parameters // [] | .[] | select(has("$ref") or .in == "body" | not)]
      | unique | map({key: .name, value: .}) | from_entries),
    document: ($v2[0] | {info, security, securityDefinitions})
  }
| to_entries | map("  \(.key | tojson): \(.value | lines)") | "{\n" + join(",\n") + "\n}"
