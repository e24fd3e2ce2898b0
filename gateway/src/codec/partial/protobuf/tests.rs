//! Compares with the output of apimachinery's protobuf serializer.

use api_types::media_type::MetaVersion;
use api_types::protobuf::{Length, Writer};

use super::{message, write};

fn check(metadata: &str, want: &[u8]) {
    let object = format!(r#"{{"apiVersion":"g/v1","kind":"K","metadata":{metadata},"spec":1}}"#);
    let (mut out, mut body, mut length) = (Vec::new(), Vec::new(), Length::default());
    write(MetaVersion::V1, object.as_bytes(), &mut out);
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(shown(&out), shown(want), "{metadata}");
    message(object.as_bytes(), &mut Writer::new(&mut body));
    message(object.as_bytes(), &mut Writer::new(&mut length));
    assert_eq!(length, Length(body.len()));
}

#[test]
fn every_field_is_encoded() {
    check(
        r##"{"annotations":{"a":"b\u003cc\n\"é","k":"\\"},"creationTimestamp":"2024-01-02T03:04:05Z","deletionGracePeriodSeconds":0,"deletionTimestamp":"2024-01-02T03:04:06Z","finalizers":["f","g"],"generateName":"n-","generation":2,"labels":{"x":"y"},"managedFields":[{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"v:\"a\"":{}}},"manager":"m","operation":"Update","subresource":"status","time":"2024-01-02T03:04:05Z"},{"manager":"o"}],"name":"n","namespace":"ns","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":false,"kind":"Pod","name":"p","uid":"u"},{"apiVersion":"v1","kind":"Job","name":"j","uid":"w"}],"resourceVersion":"7","selfLink":"l","uid":"u"}"##,
        b"k8s\x00\x0a'\x0a\x0emeta.k8s.io/v1\x12\x15PartialObjectMetadata\x12\xd2\x01\x0a\xcf\x01\x0a\x01n\x12\x02n-\x1a\x02ns\"\x01l*\x01u2\x0178\x02B\x08\x08\xa5\xfa\xcd\xac\x06\x10\x00J\x08\x08\xa6\xfa\xcd\xac\x06\x10\x00P\x00Z\x06\x0a\x01x\x12\x01yb\x0c\x0a\x01a\x12\x07b<c\x0a\"\xc3\xa9b\x06\x0a\x01k\x12\x01\\j\x13\x0a\x03Pod\x1a\x01p\"\x01u*\x02v10\x008\x01j\x0f\x0a\x03Job\x1a\x01j\"\x01w*\x02v1r\x01fr\x01g\x8a\x01H\x0a\x01m\x12\x06Update\x1a\x02v1\"\x08\x08\xa5\xfa\xcd\xac\x06\x10\x002\x08FieldsV1:\x1b\x0a\x19{\"f:spec\":{\"v:\\\"a\\\"\":{}}}B\x06status\x8a\x01\x0b\x0a\x01o\x12\x00\x1a\x002\x00B\x00\x1a\x00\"\x00",
    );
}

#[test]
fn empty_scalars_are_written_and_empty_pointers_and_lists_omitted() {
    check("{}", b"k8s\x00\x0a'\x0a\x0emeta.k8s.io/v1\x12\x15PartialObjectMetadata\x12\x12\x0a\x10\x0a\x00\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x1a\x00\"\x00");
    check(
        r#"{"creationTimestamp":null,"finalizers":[],"labels":{},"name":"x","deletionGracePeriodSeconds":30,"ownerReferences":null}"#,
        b"k8s\x00\x0a'\x0a\x0emeta.k8s.io/v1\x12\x15PartialObjectMetadata\x12\x15\x0a\x13\x0a\x01x\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00P\x1e\x1a\x00\"\x00",
    );
}
