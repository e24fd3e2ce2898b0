//! Accept headers and content types, clause by clause.

use super::{
    Encoding, Endpoint, Format, MetaVersion, Negotiated, PatchType, Transform,
    aggregated_discovery, negotiate, negotiate_document, of_body, of_patch, preferred_subtype,
};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn form(accept: &str) -> Option<(Encoding, Transform)> {
    let negotiated = negotiate(accept, "", "", Endpoint::Resource).ok()?;
    Some((negotiated.encoding, negotiated.transform))
}

#[test]
fn first_acceptable_clause_wins() {
    let json = Some((Encoding::Json, Transform::None));
    let yaml = Some((Encoding::Yaml, Transform::None));
    for (accept, want) in [
        ("", json),
        ("*/*", json),
        ("*", json),
        ("application/*", json),
        ("application/json", json),
        ("application/json;stream=watch", json),
        ("application/json; charset=utf-8", json),
        ("application/yaml", yaml),
        ("application/yaml,application/json", yaml),
        ("application/yaml;q=0.1,application/json", json),
        ("*/*,application/yaml", yaml),
        ("*/*,application/yaml;q=0.1", yaml),
        ("application/vnd.kubernetes.protobuf,application/json", json),
        ("application/vnd.kubernetes.protobuf", None),
        ("application/yaml;stream=watch", None),
        ("application/json;stream=other", None),
        ("application/json/x", None),
        ("text/html", None),
        ("json", None),
        ("application/json;sv=v1", json),
        ("application/json;sv=v2", None),
    ] {
        assert_eq!(form(accept), want, "{accept:?}");
    }
}

#[test]
fn transforms_name_kind_group_and_version() {
    let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    for (accept, want) in [
        (kubectl, Some(Transform::Table(MetaVersion::V1))),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1",
            Some(Transform::PartialObject(MetaVersion::V1beta1)),
        ),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Some(Transform::PartialObjectList(MetaVersion::V1)),
        ),
        ("application/json;as=Table;g=meta.k8s.io;v=v2", None),
        ("application/json;as=Table;g=other;v=v1", None),
        ("application/json;as=Other;g=meta.k8s.io;v=v1", None),
        ("application/json;as=Table", None),
        (
            "application/json;as=Table,application/json",
            Some(Transform::None),
        ),
    ] {
        assert_eq!(
            form(accept).map(|(_, transform)| transform),
            want,
            "{accept:?}"
        );
    }
    let error = negotiate(kubectl, "", "", Endpoint::Error).expect("JSON");
    assert_eq!(error.transform, Transform::None);
}

#[test]
fn protobuf_is_limited_to_metadata_and_errors() {
    let metadata = |kind: &str| format!("{PROTOBUF};as={kind};g=meta.k8s.io;v=v1");
    let (one, list) = (
        metadata("PartialObjectMetadata"),
        metadata("PartialObjectMetadataList"),
    );
    let one_form = Transform::PartialObject(MetaVersion::V1);
    let list_form = Transform::PartialObjectList(MetaVersion::V1);
    let table = metadata("Table");
    for (accept, want) in [
        (one.clone(), Some((Encoding::Protobuf, one_form))),
        (list.clone(), Some((Encoding::Protobuf, list_form))),
        (
            format!("{one};stream=watch"),
            Some((Encoding::Protobuf, one_form)),
        ),
        (
            format!("{table},{list}"),
            Some((Encoding::Protobuf, list_form)),
        ),
        (table, None),
        (
            format!("{PROTOBUF},application/yaml"),
            Some((Encoding::Yaml, Transform::None)),
        ),
    ] {
        assert_eq!(form(&accept), want, "{accept:?}");
    }
    for (accept, want) in [
        (PROTOBUF, Some(Encoding::Protobuf)),
        (
            "application/json;q=0.5,application/vnd.kubernetes.protobuf",
            Some(Encoding::Protobuf),
        ),
        ("application/*", Some(Encoding::Json)),
        (one.as_str(), None),
    ] {
        let error = negotiate(accept, "", "", Endpoint::Error).ok();
        assert_eq!(error.map(|form| form.encoding), want, "{accept:?}");
    }
}

#[test]
fn discovery_has_no_protobuf() {
    for (accept, want) in [
        ("", Some(Format::Json)),
        ("application/yaml", Some(Format::Yaml)),
        (
            "application/vnd.kubernetes.protobuf,*/*",
            Some(Format::Json),
        ),
        (PROTOBUF, None),
    ] {
        let chosen = negotiate_document(accept, "", "").ok();
        assert_eq!(chosen.map(|(format, _)| format), want, "{accept:?}");
    }
    let pretty = negotiate_document("application/json;pretty=1", "", "");
    assert_eq!(pretty, Ok((Format::Json, true)));
}

#[test]
fn browsers_and_curl_get_indented_json() {
    for (accept, query, agent, want) in [
        ("", "", "", false),
        ("application/json;pretty=1", "", "", true),
        ("", "pretty=true", "", true),
        ("", "pretty=1", "", true),
        ("", "pretty=x", "curl/8", false),
        ("", "pretty=", "curl/8", true),
        ("", "", "Mozilla/5.0 (X11)", true),
        ("", "", "kubectl", false),
    ] {
        let negotiated = negotiate(accept, query, agent, Endpoint::Resource).expect("a form");
        assert_eq!(negotiated.pretty, want, "{accept:?} {query:?} {agent:?}");
    }
}

#[test]
fn rejections_list_supported_types() {
    let error = negotiate("text/html", "", "", Endpoint::Resource).expect_err("no HTML");
    assert_eq!(error.code(), 406);
    assert_eq!(
        error.to_string(),
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    let yaml = Negotiated {
        encoding: Encoding::Yaml,
        ..Negotiated::default()
    };
    let list = Negotiated {
        encoding: Encoding::Protobuf,
        transform: Transform::PartialObjectList(MetaVersion::V1),
        ..Negotiated::default()
    };
    assert!(list.for_watch().is_err(), "an event holds no list");
    let error = yaml.for_watch().expect_err("no YAML stream");
    assert_eq!(
        error.to_string(),
        "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    );
}

#[test]
fn content_types_of_bodies_and_patches() {
    for (content_type, want) in [
        ("", Some(Format::Json)),
        ("application/json", Some(Format::Json)),
        ("Application/JSON; charset=utf-8", Some(Format::Json)),
        ("application/yaml", Some(Format::Yaml)),
        ("text/plain", None),
        (";", None),
    ] {
        assert_eq!(of_body(content_type).ok(), want, "{content_type:?}");
    }
    assert_eq!(
        of_patch("application/merge-patch+json; charset=utf-8").ok(),
        Some(PatchType::Merge)
    );
    let error = of_patch("application/strategic-merge-patch+json").expect_err("no such patch");
    assert_eq!(error.code(), 415);
    assert_eq!(
        error.to_string(),
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
}

#[test]
fn aggregated_discovery_requires_preference() {
    const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    for (accept, want) in [
        (String::new(), None),
        ("*/*".to_owned(), None),
        (V2.to_owned(), Some(Format::Json)),
        (V2.replace("json", "yaml"), Some(Format::Yaml)),
        (format!("{V2},{BETA},application/json"), Some(Format::Json)),
        (format!("{BETA},{V2}"), Some(Format::Json)),
        (format!("{BETA},application/json,{V2}"), None),
        (format!("{V2};q=0.5,application/json"), None),
        (format!("{V2};stream=watch"), None),
    ] {
        assert_eq!(aggregated_discovery(&accept), want, "{accept:?}");
    }
}

#[test]
fn client_chooses_the_subtype() {
    for (accept, want) in [
        ("", Some("json")),
        ("*/*", Some("json")),
        ("application/proto, application/json", Some("proto")),
        ("application/json, application/proto", Some("json")),
        ("text/html, */*;q=0.1", Some("json")),
        ("text/html", None),
    ] {
        let chosen = preferred_subtype(accept, &["json", "proto"]);
        assert_eq!(chosen, want, "{accept:?}");
    }
}

#[test]
fn only_so_many_clauses_count() {
    let ascending = |count: usize| {
        let clauses = (0..count).map(|n| format!("a/b;q=0.{n:06}"));
        clauses.collect::<Vec<_>>().join(",")
    };
    let (few, many) = (ascending(63), ascending(60_000));
    let form = |accept: &str| form(accept).map(|(encoding, _)| encoding);
    assert_eq!(
        form(&format!("{few},application/json")),
        Some(Encoding::Json)
    );
    assert_eq!(
        form(&format!("application/json,{many}")),
        Some(Encoding::Json)
    );
    assert_eq!(form(&format!("{many},application/json")), None);
}
