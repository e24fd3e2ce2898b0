//! Messages of package `openapi.v2`; the field numbers are those of `OpenAPIv2.proto`.

use serde_json::Value;

use super::{Fields, Message};

pub(super) fn document(message: &mut Message<'_, '_>) {
    message.string(1, "swagger");
    message.messages(2, "info", |info| super::info(info, 2));
    message.messages(8, "paths", |paths| paths.entries(2, path_item));
    message.map(9, "definitions", schema);
    message.map(10, "parameters", parameter);
    message.messages(12, "security", |requirement| requirement.entries(1, |_| {}));
    message.map(13, "securityDefinitions", |item| {
        item.same(2, api_key_security)
    });
}

fn api_key_security(message: &mut Message<'_, '_>) {
    message.string(1, "type");
    message.string(2, "name");
    message.string(3, "in");
    message.string(4, "description");
}

fn path_item(message: &mut Message<'_, '_>) {
    message.messages(2, "get", operation);
    message.messages(3, "put", operation);
    message.messages(4, "post", operation);
    message.messages(5, "delete", operation);
    message.messages(8, "patch", operation);
    message.messages(9, "parameters", parameters_item);
}

fn operation(message: &mut Message<'_, '_>) {
    message.strings(1, "tags");
    message.string(3, "description");
    message.string(5, "operationId");
    message.strings(6, "produces");
    message.strings(7, "consumes");
    message.messages(8, "parameters", parameters_item);
    message.messages(9, "responses", |responses| {
        responses.entries(1, |value| value.same(1, response));
    });
    message.strings(10, "schemes");
    message.extensions(13);
}

fn response(message: &mut Message<'_, '_>) {
    message.string(1, "description");
    message.messages(2, "schema", |item| item.same(1, schema));
}

fn parameters_item(message: &mut Message<'_, '_>) {
    message.or_reference((1, parameter), (2, |to| to.string(1, "$ref")));
}

fn parameter(message: &mut Message<'_, '_>) {
    let place = message.member("in").and_then(Value::as_str);
    let (field, write): (u32, Fields) = match place {
        Some("body") => (1, body_parameter),
        Some("path") => (2, |other| other.same(4, path_parameter)),
        _ => (2, |other| other.same(3, query_parameter)),
    };
    message.same(field, write);
}

fn body_parameter(message: &mut Message<'_, '_>) {
    message.string(1, "description");
    message.string(2, "name");
    message.string(3, "in");
    message.boolean(4, "required");
    message.messages(5, "schema", schema);
}

fn path_parameter(message: &mut Message<'_, '_>) {
    parameter_head(message);
    message.string(5, "type");
    message.boolean(19, "uniqueItems");
}

fn query_parameter(message: &mut Message<'_, '_>) {
    parameter_head(message);
    message.string(6, "type");
    message.boolean(20, "uniqueItems");
}

fn parameter_head(message: &mut Message<'_, '_>) {
    message.boolean(1, "required");
    message.string(2, "in");
    message.string(3, "description");
    message.string(4, "name");
}

fn schema(message: &mut Message<'_, '_>) {
    message.string(1, "$ref");
    message.string(2, "format");
    message.string(3, "title");
    message.string(4, "description");
    message.any(5, "default");
    message.double(6, "multipleOf");
    message.double(7, "maximum");
    message.boolean(8, "exclusiveMaximum");
    message.double(9, "minimum");
    message.boolean(10, "exclusiveMinimum");
    message.integer(11, "maxLength");
    message.integer(12, "minLength");
    message.string(13, "pattern");
    message.integer(14, "maxItems");
    message.integer(15, "minItems");
    message.boolean(16, "uniqueItems");
    message.integer(17, "maxProperties");
    message.integer(18, "minProperties");
    message.strings(19, "required");
    message.anys(20, "enum");
    message.messages(21, "additionalProperties", additional_properties);
    if let Some(kind) = message.member("type").and_then(Value::as_str) {
        message.to.message(22, |item| item.string(1, kind));
    }
    message.messages(23, "items", |item| item.same(1, schema));
    message.map(25, "properties", schema);
    message.messages(29, "externalDocs", external_docs);
    message.any(30, "example");
    message.extensions(31);
}

fn additional_properties(message: &mut Message<'_, '_>) {
    match message.from {
        Value::Bool(allowed) => message.to.boolean(2, *allowed),
        _ => message.same(1, schema),
    }
}

fn external_docs(message: &mut Message<'_, '_>) {
    message.string(1, "description");
    message.string(2, "url");
}
