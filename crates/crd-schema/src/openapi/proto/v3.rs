//! Messages of package `openapi.v3`; the field numbers are those of `OpenAPIv3.proto`.

use serde_json::{Value, json};

use super::Message;

pub(super) fn document(message: &mut Message<'_, '_>) {
    message.string(1, "openapi");
    message.messages(2, "info", |info| super::info(info, 6));
    message.messages(4, "paths", |paths| paths.entries(1, path_item));
    message.messages(5, "components", |components| {
        components.map(1, "schemas", schema_or_reference);
    });
}

fn path_item(message: &mut Message<'_, '_>) {
    message.messages(4, "get", operation);
    message.messages(5, "put", operation);
    message.messages(6, "post", operation);
    message.messages(7, "delete", operation);
    message.messages(10, "patch", operation);
    message.messages(13, "parameters", |item| item.same(1, parameter));
}

fn operation(message: &mut Message<'_, '_>) {
    message.strings(1, "tags");
    message.string(3, "description");
    message.string(5, "operationId");
    message.messages(6, "parameters", |item| item.same(1, parameter));
    message.messages(7, "requestBody", |item| item.same(1, request_body));
    message.messages(8, "responses", |responses| {
        responses.entries(2, |value| value.same(1, response));
    });
    if let Some(action) = message.member("x-kubernetes-action") {
        let yaml = kube_json::yaml::to_string(action);
        message.extension(13, "x-kubernetes-action", &yaml);
    }
    let kind = "x-kubernetes-group-version-kind";
    if let Some(value) = message.member(kind) {
        // In the field order of Go's struct.
        let line = |key: &str| kube_json::yaml::to_string(&json!({ key: value[key] }));
        let yaml: String = ["group", "version", "kind"].map(line).concat();
        message.extension(13, kind, &yaml);
    }
}

fn parameter(message: &mut Message<'_, '_>) {
    message.string(1, "name");
    message.string(2, "in");
    message.string(3, "description");
    message.boolean(4, "required");
    message.messages(10, "schema", schema_or_reference);
}

fn request_body(message: &mut Message<'_, '_>) {
    message.map(2, "content", media_type);
    message.boolean(3, "required");
}

fn response(message: &mut Message<'_, '_>) {
    message.string(1, "description");
    message.map(3, "content", media_type);
}

fn media_type(message: &mut Message<'_, '_>) {
    message.messages(1, "schema", schema_or_reference);
}

fn schema_or_reference(message: &mut Message<'_, '_>) {
    message.or_reference((1, schema), (2, |to| to.string(1, "$ref")));
}

fn schema(message: &mut Message<'_, '_>) {
    message.boolean(1, "nullable");
    message.messages(6, "externalDocs", |docs| {
        docs.string(1, "description");
        docs.string(2, "url");
    });
    message.any(7, "example");
    message.string(9, "title");
    message.double(10, "multipleOf");
    message.double(11, "maximum");
    message.boolean(12, "exclusiveMaximum");
    message.double(13, "minimum");
    message.boolean(14, "exclusiveMinimum");
    message.integer(15, "maxLength");
    message.integer(16, "minLength");
    message.string(17, "pattern");
    message.integer(18, "maxItems");
    message.integer(19, "minItems");
    message.boolean(20, "uniqueItems");
    message.integer(21, "maxProperties");
    message.integer(22, "minProperties");
    message.strings(23, "required");
    message.anys(24, "enum");
    message.string(25, "type");
    message.messages(26, "allOf", schema_or_reference);
    message.messages(27, "oneOf", schema_or_reference);
    message.messages(28, "anyOf", schema_or_reference);
    message.messages(29, "not", schema);
    message.messages(30, "items", |item| item.same(1, schema_or_reference));
    message.map(31, "properties", schema_or_reference);
    message.messages(32, "additionalProperties", additional_properties);
    if let Some(value) = message.member("default") {
        message.message(33, value, default);
    }
    message.string(34, "description");
    message.string(35, "format");
    message.extensions(36);
}

fn additional_properties(message: &mut Message<'_, '_>) {
    match message.from {
        Value::Bool(allowed) => message.to.boolean(2, *allowed),
        _ => message.same(1, schema_or_reference),
    }
}

/// The message type has no objects and lists.
fn default(message: &mut Message<'_, '_>) {
    match message.from {
        Value::Number(number) => message.to.double(1, number.as_f64().unwrap_or_default()),
        Value::Bool(value) => message.to.boolean(2, *value),
        Value::String(text) => message.to.string(3, text),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}
