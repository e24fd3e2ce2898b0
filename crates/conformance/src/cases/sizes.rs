//! W: requests and responses of the largest size.

use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::Op;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op_result::Verdict;

use super::{Case, case};
use crate::check::{Check, Stop, ensure, refused, same};
use crate::context::{CaseContext, noise};

/// Size of a record, of which many together exceed a message.
const LARGE: usize = 8 << 20;

pub(super) const CASES: &[Case] = &[
    case!(
        "W10-a-request-at-the-limits",
        at_limits,
        "A request with as many operations, or as many bytes of values, as Describe allows is \
         applied; one byte more is TOO_LARGE, and nothing is stored."
    ),
    case!(
        "W13-a-response-fits-into-a-message",
        response,
        "A response to Write is at most 64 MiB: records that do not fit are omitted, and their \
         operations are refused with OVERLOADED, and APPLIED if they were applied."
    ),
];

fn size(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

/// Returns creates whose values have `total` bytes together.
fn filled(context: &CaseContext, prefix: &str, total: usize, most: usize) -> Vec<Op> {
    let starts = (0..total).step_by(most);
    let ops = starts.enumerate().map(|(number, start)| {
        let value = noise(number as u64, most.min(total - start));
        context.create(&format!("{prefix}/{number:03}"), value)
    });
    ops.collect()
}

async fn at_limits(context: CaseContext) -> Check {
    let (client, limits) = (&context.client, context.limits());
    let (bytes, value) = (size(limits.write_bytes), size(limits.value_bytes));
    let most = filled(&context, "most", bytes, value);
    ensure!(
        most.len() <= size(limits.write_ops),
        "no request can have write_bytes {bytes}: it needs {} operations",
        most.len()
    );
    client.apply_all(most).await?;
    let mut larger = filled(&context, "larger", bytes, value);
    larger.push(context.create("larger/one", "1"));
    if larger.len() <= size(limits.write_ops) {
        refused(client.write(larger).await, Reason::TooLarge)?;
    }
    let all = (0..limits.write_ops).map(|number| context.create(&format!("all/{number}"), "1"));
    client.apply_all(all.collect()).await?;
    let listed = client.list(context.all(0)).await?;
    let namespaces = listed
        .records
        .iter()
        .filter_map(|record| record.key.as_ref());
    let larger = namespaces.filter(|key| key.namespace == "larger").count();
    same!(larger, 0, "records of a request above the limit");
    Ok(())
}

async fn response(context: CaseContext) -> Check {
    let (client, limits) = (&context.client, context.limits());
    let record = LARGE.min(size(limits.value_bytes));
    let count = MAX_MESSAGE_BYTES / record + 1;
    if count > size(limits.write_ops) {
        let reason = "no request of the permitted size deletes more than 64 MiB";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    let path = |number: usize| format!("ns/{number:03}");
    for number in 0..count {
        let value = noise(number as u64, record);
        client.apply(context.create(&path(number), value)).await?;
    }
    let conflicts = (0..count).map(|number| context.create(&path(number), "1"));
    for verdict in client.verdicts(conflicts.collect()).await? {
        let due = Outcome::NotApplied;
        match verdict {
            Verdict::Conflict(_) => {}
            Verdict::Refused(error) => overloaded(error.reason(), error.outcome(), due)?,
            Verdict::Applied(_) => ensure!(false, "a create of an existing key was applied"),
        }
    }
    let deletes = (0..count).map(|number| context.delete(&path(number), 0));
    for verdict in client.verdicts(deletes.collect()).await? {
        let due = Outcome::Applied;
        match verdict {
            Verdict::Applied(applied) => {
                let deleted = applied.deleted.map_or(0, |record| record.value.len());
                same!(deleted, record, "bytes of a deleted record");
            }
            Verdict::Refused(error) => overloaded(error.reason(), error.outcome(), due)?,
            Verdict::Conflict(_) => ensure!(false, "a delete of an existing key is a conflict"),
        }
    }
    let listed = client.list(context.all(0)).await?;
    same!(listed.records.len(), 0, "records after all were deleted");
    Ok(())
}

fn overloaded(reason: Reason, outcome: Outcome, due: Outcome) -> Check {
    same!(
        reason,
        Reason::Overloaded,
        "reason of a record that does not fit"
    );
    same!(outcome, due, "outcome of its operation");
    Ok(())
}
