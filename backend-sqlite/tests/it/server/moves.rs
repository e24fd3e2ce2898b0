//! Tests of export, import and health over gRPC.

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::export_response::Part as Exported;
use backend_proto::v1::health_response::State;
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::op::Action;
use backend_proto::v1::{ExportRequest, HealthRequest, ImportRequest, Record};

use crate::server::program::{Program, create, list, op, write};

fn request(part: Part) -> ImportRequest {
    ImportRequest { part: Some(part) }
}

#[tokio::test]
async fn following_export_fills_another_store() {
    let mut source = Program::new();
    let from = source.start().await;
    for name in ["a", "b", "c"] {
        create(&from, name).await;
    }
    let requested = ExportRequest {
        follow: true,
        ..ExportRequest::default()
    };
    let mut export = from
        .clone()
        .export(requested)
        .await
        .expect("export")
        .into_inner();
    let (mut parts, mut records, mut events) = (Vec::new(), 0, 0);
    while events < 2 {
        let message = export.message().await.expect("export").expect("open");
        parts.push(match message.part.expect("part") {
            Exported::Header(header) => {
                assert_eq!(message.about_records, 3);
                Part::Options(Options {
                    source: Some(header),
                    keep_epoch: true,
                    ..Options::default()
                })
            }
            Exported::Chunk(chunk) => {
                records += chunk.records.len() as i64;
                Part::Chunk(chunk)
            }
            Exported::Trailer(trailer) => {
                assert_eq!((trailer.count, records), (3, 3));
                // A change after the snapshot follows it in the export.
                write(&from, op(Action::Delete, "b", ""))
                    .await
                    .expect("deleted");
                create(&from, "d").await;
                continue;
            }
            Exported::Progress(_) => continue,
            Exported::Events(batch) => {
                events += batch.events.len() as i64;
                Part::Events(batch)
            }
        });
    }

    let mut target = Program::new();
    let to = target.start().await;
    let miscounted = parts
        .iter()
        .cloned()
        .chain([Part::Done(Done { records, events: 9 })]);
    let stream = tokio_stream::iter(miscounted.map(request).collect::<Vec<_>>());
    let status = to.clone().import(stream).await.expect_err("refused");
    assert_eq!(
        from_status(&status).expect("typed").reason(),
        Reason::Invalid
    );
    assert!(list(&to).await.1.is_empty());

    parts.push(Part::Done(Done { records, events }));
    let stream = tokio_stream::iter(parts.into_iter().map(request).collect::<Vec<_>>());
    let imported = to
        .clone()
        .import(stream)
        .await
        .expect("import")
        .into_inner();
    assert_eq!((imported.records, imported.events), (3, 2));
    let (there, here) = (list(&to).await, list(&from).await);
    assert_eq!(there.1, here.1);
    assert_eq!(there.0.store_id, here.0.store_id);
    assert_eq!(create(&to, "e").await, here.0.revision + 1);
}

#[tokio::test]
async fn record_without_value_is_not_imported() {
    let mut program = Program::new();
    let client = program.start().await;
    let damaged = Record {
        unreadable: "the stored value of x fails its checksum".to_owned(),
        ..Record::default()
    };
    let records = vec![damaged];
    let parts = [
        Part::Options(Options {
            source: Some(list(&client).await.0),
            keep_epoch: true,
            ..Options::default()
        }),
        Part::Chunk(Chunk { records }),
    ];
    let stream = tokio_stream::iter(parts.map(request));
    let status = client.clone().import(stream).await.expect_err("refused");
    let error = from_status(&status).expect("typed");
    assert_eq!(error.reason(), Reason::Corrupt);
    assert!(
        error.message.contains("fails its checksum"),
        "{}",
        error.message
    );
    assert!(list(&client).await.1.is_empty());
}

#[tokio::test]
async fn serving_process_is_ready() {
    let mut program = Program::new();
    let mut client = program.start().await;
    let health = client
        .health(HealthRequest {})
        .await
        .expect("health")
        .into_inner();
    assert_eq!(health.state(), State::Ready);
}
