//! Storage form of times: nanoseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Converts to the protobuf type.
#[must_use]
pub fn timestamp(nanos: i64) -> Timestamp {
    Timestamp {
        seconds: nanos.div_euclid(1_000_000_000),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

/// Inverse of [`timestamp`]; an absent time is 1970.
#[must_use]
pub fn nanos(time: Option<&Timestamp>) -> i64 {
    time.map_or(0, |time| {
        time.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(time.nanos))
    })
}

/// Reads the wall clock.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}
