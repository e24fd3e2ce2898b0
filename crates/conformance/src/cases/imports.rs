//! E: the numbers and the content of imports.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backend_proto::clock::revision_at;
use backend_proto::limits::MAX_REVISION;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::import_request::Options;
use backend_proto::v1::{Header, Record};

use super::copy::{CallContent, import};
use super::describe::in_range;
use super::staged::{events, pair, records};
use super::{Case, case};
use crate::check::{Check, ensure, refused, same};
use crate::context::CaseContext;

/// Pause before an epoch begins; epochs that ignore the clock are smaller afterwards.
const TICK: Duration = Duration::from_secs(1);

pub(super) const CASES: &[Case] = &[
    case!(
        "E7-an-epoch-begins-by-the-clock",
        by_the_clock,
        "An epoch begins above every revision of the store and of the source, and at or above 4096 \
         for each millisecond since 2026 at that moment: a restored store lacks some revisions.",
        Export
    ),
    case!(
        "E12-unreadable-records-are-not-imported",
        unreadable,
        "An import with a record or an event whose value is unreadable is CORRUPT and changes \
         nothing.",
        Export
    ),
    case!(
        "R8-revisions-fit-into-a-double",
        fits_a_double,
        "No revision exceeds 2^53 - 1: an import whose header or records do, or whose numbers are \
         not 1 <= epoch <= compact_revision <= revision, is INVALID and changes nothing.",
        Export
    ),
];

async fn by_the_clock(context: CaseContext) -> Check {
    let target = context.empty().await?;
    let source = Header {
        store_id: "of a test".to_owned(),
        epoch: 1,
        revision: 3,
        compact_revision: 1,
    };
    let options = Options {
        source: Some(source),
        ..Options::default()
    };
    let made = target.client.current().await?;
    // If epochs ignored the clock, this one would begin right above the empty store, which began
    // before this pause.
    tokio::time::sleep(TICK).await;
    // A driver behind a unix socket has the same clock. Another one's may be a day slow.
    let tolerance = match target.endpoint().socket() {
        Some(_) => TICK / 2,
        None => Duration::from_secs(86_400),
    };
    let now = SystemTime::now().checked_sub(tolerance);
    let expected = revision_at(now.unwrap_or(UNIX_EPOCH));
    import(&target, options, CallContent::default()).await?;
    let started = target.client.current().await?;
    let day = SystemTime::now().checked_sub(Duration::from_secs(86_400));
    let earliest = revision_at(day.unwrap_or(UNIX_EPOCH));
    for (header, when, least) in [
        (&made, "a new store", earliest),
        (&started, "an import", expected),
    ] {
        in_range(header, when)?;
        let epoch = header.epoch;
        ensure!(
            epoch >= least,
            "{when} begins the epoch {epoch}, below {least}, which the clock has passed: an epoch \
             begins at 4096 for each millisecond since 2026 or above"
        );
    }
    ensure!(
        started.epoch > made.revision,
        "an import begins an epoch below the empty store"
    );
    let first = target.client.apply(target.create("first", "1")).await?;
    same!(first.revision, started.revision + 1, "the first revision");
    Ok(())
}

async fn fits_a_double(context: CaseContext) -> Check {
    let (_, content, target) = pair(&context).await?;
    let before = target.client.current().await?;
    let source = &content.source;
    let with = |epoch, compact_revision, revision| Header {
        epoch,
        compact_revision,
        revision,
        ..source.clone()
    };
    let former = 240_000 << 40;
    for source in [
        with(240_000, former, former + 9),
        with(1, 1, MAX_REVISION + 1),
        with(1, 1, i64::MAX),
        with(0, source.compact_revision, source.revision),
        with(
            source.revision + 1,
            source.compact_revision,
            source.revision,
        ),
        with(source.epoch, source.revision + 1, source.revision),
    ] {
        for keep_epoch in [false, true] {
            let options = Options {
                source: Some(source.clone()),
                keep_epoch,
                ..Options::default()
            };
            let response = import(&target, options, CallContent::default()).await;
            refused(response, Reason::Invalid)?;
        }
    }
    let mut newer = content.records.clone();
    newer[0].create_revision = newer[0].revision + 1;
    let mut large = content.events.clone();
    large[0].revision = MAX_REVISION + 1;
    for call_content in [records(&newer), events(&large)] {
        let response = import(&target, content.options(false), call_content).await;
        refused(response, Reason::Invalid)?;
    }
    same!(
        target.client.current().await?,
        before,
        "the store after refusals"
    );
    Ok(())
}

async fn unreadable(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    let before = target.client.current().await?;
    let spoil = |record: &mut Record| {
        record.value.clear();
        record.unreadable = "the checksum of the value is wrong".to_owned();
    };
    let mut damaged = content.records.clone();
    spoil(&mut damaged[3]);
    let mut events = content.events.clone();
    events[0].record.iter_mut().for_each(spoil);
    for call_content in [
        records(&damaged),
        CallContent {
            records: &content.records,
            events: &events,
        },
    ] {
        let response = import(&target, content.options(false), call_content).await;
        refused(response, Reason::Corrupt)?;
        let now = target.client.current().await?;
        same!(now, before, "the store after a rejected import");
    }
    let call_content = CallContent {
        records: &content.records,
        events: &content.events,
    };
    import(&target, content.options(false), call_content).await?;
    content.is_in(&original, &target).await
}
