//! Summary of the content of a store.

use anyhow::Result;
use backend_proto::v1::ExportRequest;

use crate::digest::{Digester, Summary};
use crate::store::Store;

/// Returns the summary of a store at a revision; 0 means the current one.
pub(crate) async fn of(store: &Store, revision: i64) -> Result<Summary> {
    let request = ExportRequest {
        revision,
        ..ExportRequest::default()
    };
    let mut export = store.export(request).await?;
    let mut digester = Digester::default();
    while let Some(records) = export.records().await? {
        records.iter().for_each(|record| digester.add(record));
    }
    Ok(digester.finish())
}
