//! The rules of the contract by number, for `--explain`: `backend.proto` states them where they
//! apply, and the messages of failed cases cite their numbers.

mod process;

/// A rule of the contract.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number, such as `R5`.
    pub number: &'static str,
    /// What a driver must do.
    pub text: &'static str,
    /// Usual cause of a violation.
    pub cause: &'static str,
}

/// Returns all rules, by the letters of the cases.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    SERVED.iter().chain(process::RULES)
}

/// Returns a rule by its number, in upper or lower case.
#[must_use]
pub fn find(number: &str) -> Option<&'static Rule> {
    let number = number.to_ascii_uppercase();
    all().find(|rule| rule.number == number)
}

const fn rule(number: &'static str, text: &'static str, cause: &'static str) -> Rule {
    Rule {
        number,
        text,
        cause,
    }
}

/// Rules that a served driver suffices for.
const SERVED: &[Rule] = &[
    rule(
        "D1",
        "Describe names the driver, the minor versions that it speaks, its capabilities and its \
         limits. The limits are at least those that a gateway needs.",
        "A limit below what a gateway sends in one request; see `Limits` in backend.proto.",
    ),
    rule(
        "D2",
        "Every response carries the header of one store, with 1 <= epoch <= compact_revision <= \
         revision <= 2^53 - 1.",
        "A response without its header, or a compact_revision of 0 in a new store.",
    ),
    rule(
        "D3",
        "Health is READY while the driver serves, and responds within a second.",
        "Health queries the store instead of a state in memory.",
    ),
    rule(
        "D4",
        "Health is also published as grpc.health.v1, for the empty service and for \
         ark.backend.v1.Backend.",
        "The health service is not registered, or has the status of one of the two names only.",
    ),
    rule(
        "D5",
        "A driver does not end a connection because it is idle, old or pinged during a call.",
        "A maximum age or idle time of connections, or an enforcement policy that permits no \
         pings every 10 s during a watch.",
    ),
    rule(
        "R1",
        "Every applied change has one revision, greater by one than that of the change committed \
         before it. A conflict, a no-op or a rejection uses none.",
        "A sequence of the database that counts operations that were rolled back or not applied.",
    ),
    rule(
        "R2",
        "A reader that sees revision r sees every change up to r, and none above.",
        "The revision of the header and the records come from different transactions, or \
         revisions become visible in another order than they were assigned.",
    ),
    rule(
        "R3",
        "The current revision is never below a revision returned to any caller before, on any \
         connection and after any restart.",
        "A cached revision, a read from a replica, or a commit that was acknowledged before it \
         was durable.",
    ),
    rule(
        "R4",
        "A revision is never used for two changes, not even if compaction dropped the first, or \
         after a restart.",
        "The counter is read from the newest stored change, which compaction may have dropped.",
    ),
    rule(
        "R5",
        "An acknowledged change survives SIGKILL and a power failure.",
        "A response before the commit, or a commit without a flush (fsync, or synchronous_commit \
         = off).",
    ),
    rule(
        "R8",
        "No revision exceeds 2^53 - 1.",
        "Numbers of an import are not checked before they are stored.",
    ),
    rule(
        "W1",
        "Create succeeds only if the key does not exist; otherwise it is a conflict EXISTS with \
         the stored record.",
        "A check outside the transaction that writes, or an upsert.",
    ),
    rule(
        "W2",
        "Update and delete succeed only if the stored record has the expected revision; a missing \
         record is a conflict NOT_FOUND.",
        "A comparison with a cached record.",
    ),
    rule(
        "W3",
        "Concurrent histories are linearizable, and watches show them completely and in order.",
        "A read outside the transaction of its header, or a result that is returned before the \
         commit.",
    ),
    rule(
        "W4",
        "An update with the stored bytes applies nothing: no revision, no event.",
        "The bytes are not compared, or are compared after a conversion.",
    ),
    rule(
        "W5",
        "An operation that was applied and is repeated with its op_id applies nothing and returns \
         its first revision, also after a restart.",
        "The op_id is checked after the expectations, or is kept in memory only.",
    ),
    rule(
        "W6",
        "An expected uid is compared with the uid of the stored record, and delete returns the \
         record as it was.",
        "The uid of the index is not stored, or the record is read after the delete.",
    ),
    rule(
        "W8",
        "Operations of a request are independent, and have their results in the order of the \
         request.",
        "A conflict rolls back the transaction.",
    ),
    rule(
        "W9",
        "Two operations on the same key in one request apply in the order given.",
        "Operations are grouped by action or sorted by key.",
    ),
    rule(
        "W10",
        "A request of exactly write_ops operations and write_bytes bytes of values is applied; a \
         larger one is TOO_LARGE as a whole.",
        "The message limit of the gRPC library is 4 MiB by default; raise it to 64 MiB for \
         requests.",
    ),
    rule(
        "W11",
        "A malformed operation is INVALID, and does not affect the others.",
        "A check of the whole request instead of each operation.",
    ),
    rule(
        "W12",
        "Parts of a key up to 253, 63, 63 and 253 bytes are accepted; longer ones are TOO_LARGE.",
        "Lengths are counted in characters, or columns are shorter.",
    ),
    rule(
        "W13",
        "A response is at most 64 MiB. Records that do not fit are omitted from the response, \
         with OVERLOADED and the outcome of their operation.",
        "Deleted and conflicting records are returned without counting their bytes.",
    ),
    rule(
        "B1",
        "A value is returned exactly as it was written.",
        "A text column, a zero byte that ends a string, spaces that are trimmed, or a JSON parser.",
    ),
    rule(
        "B2",
        "A value of value_bytes is stored and returned by every call.",
        "The message limit of the gRPC library for responses, which is 4 MiB by default on \
         clients.",
    ),
    rule(
        "B3",
        "A value above value_bytes is TOO_LARGE, and does not affect other operations.",
        "The whole request is rejected.",
    ),
    rule(
        "B4",
        "The index is returned unchanged.",
        "The order of owner_uids, or an absent index that becomes an empty one.",
    ),
    rule(
        "B5",
        "created_at is kept by updates, and events carry the actor, at most 256 bytes, cut at a \
         character boundary.",
        "The actor is cut by bytes or by characters.",
    ),
    rule(
        "B6",
        "Events carry the origin of the change, each part cut at a character boundary; since \
         minor version 3.",
        "An empty origin is returned as an Origin instead of none.",
    ),
    rule(
        "L1",
        "A read returns at least the state of every write acknowledged before it began, on any \
         connection.",
        "Reads from a snapshot, a cache or a replica.",
    ),
    rule(
        "L4",
        "Get and List at a retained revision return the state of exactly that revision; above the \
         current one they fail with FUTURE_REVISION.",
        "The history of deleted records is missing, or a future revision is served as the current \
         one.",
    ),
    rule(
        "L5",
        "Pages with the first page's revision and the last key make up one snapshot.",
        "A page reads the current state, repeats the key that it continues after, or starts over if \
         that key was deleted.",
    ),
    rule(
        "L7",
        "A list is in the byte order of group, resource and namespace/name, and a range contains \
         exactly its keys.",
        "A collation that is not bytewise, a prefix match by LIKE, parts of keys that are joined \
         without a separator, or an order by namespace and then name.",
    ),
    rule(
        "L8",
        "`more` is true if and only if further keys of the range follow.",
        "`more` is computed from the limit instead of from the next key.",
    ),
    rule(
        "L9",
        "A malformed read is INVALID, never an empty response.",
        "An absent key is read as an empty one.",
    ),
    rule(
        "L10",
        "A chunk is at most 512 KiB, unless it is a single record.",
        "Only the bytes of values are counted; labels can be larger.",
    ),
    rule(
        "L11",
        "A slow list is one snapshot, or fails; it is never short.",
        "The snapshot ends with a timeout of the database and the stream ends without an error.",
    ),
    rule(
        "V3",
        "A watcher gets every change after its start, once and in order.",
        "A poll by time or by a sequence whose transactions become visible out of order.",
    ),
    rule(
        "V4",
        "All events of one revision are in one message.",
        "The log is cut by bytes within a revision.",
    ),
    rule(
        "V5",
        "A watch from revision r begins with the first change after r.",
        "The start is off by one, or the list and the watch have different revisions.",
    ),
    rule(
        "V6",
        "An idle watch sends progress at the requested interval; progress never decreases.",
        "Progress is sent only together with events.",
    ),
    rule(
        "V7",
        "A watch shows the changes of its ranges and no others; without ranges, all.",
        "An event that several ranges contain is sent once for each.",
    ),
    rule(
        "V8",
        "Events have the type and the replaced revision of their change; DELETED carries the last \
         record with its own revision.",
        "The record of DELETED has the revision of the delete.",
    ),
    rule(
        "V9",
        "A watch below the compact revision fails with COMPACTED.",
        "The start is raised silently, which loses events; of an open watch as well, when a \
         compaction overtakes it.",
    ),
    rule(
        "V10",
        "A watch at the compact revision shows the next change, also if it is a delete.",
        "Compaction drops the record that a retained delete replaced.",
    ),
    rule(
        "V11",
        "A watch above the current revision fails with FUTURE_REVISION, and a malformed range \
         with INVALID.",
        "The watch waits until the revision is reached.",
    ),
    rule(
        "V12",
        "A watcher that does not read delays no other client, and is ended with TOO_SLOW or gets \
         everything later.",
        "An unbounded or shared queue of events.",
    ),
    rule(
        "V13",
        "Progress p is sent only after every change up to p.",
        "Progress is read from the counter before the events of the same moment are sent.",
    ),
    rule(
        "V14",
        "Streams that clients cancel free their resources.",
        "A task or a cursor that waits for a reader without noticing its end.",
    ),
    rule(
        "H1",
        "Compaction drops history, never current state, and changes no revision.",
        "Rows are deleted by age instead of by whether a later row replaces them.",
    ),
    rule(
        "H2",
        "State at the compact revision and later is readable; below it reads fail with COMPACTED.",
        "The newest row of each key at the compact revision is dropped.",
    ),
    rule(
        "H3",
        "Compaction above the current revision fails with FUTURE_REVISION.",
        "The revision is not compared with the current one.",
    ),
    rule(
        "H4",
        "Compaction at or below the compact revision has no effect.",
        "compact_revision is set instead of raised.",
    ),
    rule(
        "H5",
        "Writers and watchers continue during compaction.",
        "Compaction holds the lock of writers.",
    ),
    rule(
        "E1",
        "An export is the whole store at the revision of its header.",
        "Each resource is read from its own snapshot.",
    ),
    rule(
        "E2",
        "An export that follows continues with every change after its snapshot, and sends \
         progress if it is requested.",
        "The watch is registered after the snapshot.",
    ),
    rule(
        "E3",
        "An export with after_revision has no snapshot, and that revision in its header.",
        "The header has the current revision, and a reader takes the first event for an old one.",
    ),
    rule(
        "E4",
        "An import into a store with records is INVALID.",
        "The check is made before the transaction of the import.",
    ),
    rule(
        "E5",
        "An export at a revision and after a key is the rest of that snapshot.",
        "The rest is read from the current state.",
    ),
    rule(
        "E6",
        "An import with keep_epoch makes an empty store equal to the exported one.",
        "Revisions or times are assigned again.",
    ),
    rule(
        "E7",
        "An import without keep_epoch begins a new epoch, above the revisions of source and store \
         and of the clock.",
        "The epoch continues at the source's next revision, which a restored copy of the source \
         may already have used.",
    ),
    rule(
        "E8",
        "An unfinished import is invisible: other calls are NOT_READY.",
        "Rows are visible as soon as they are stored.",
    ),
    rule(
        "E9",
        "Describe has the progress of an unfinished import, and an interrupted call leaves \
         nothing.",
        "A call commits in several transactions.",
    ),
    rule(
        "E10",
        "All calls of an import have one source, records in key order, and events after records.",
        "Source and order are checked within a call only.",
    ),
    rule(
        "E11",
        "`discard` drops an unfinished import, never a complete store.",
        "The store is emptied before the call is complete.",
    ),
    rule(
        "E12",
        "A record or event with an unreadable value fails the import with CORRUPT.",
        "`unreadable` is ignored, and the empty value is stored.",
    ),
    rule(
        "F1",
        "A fenced store rejects writes with NOT_READY and the reason of the fence.",
        "The fence is checked outside the transaction that writes.",
    ),
    rule(
        "F2",
        "A fence without a reason is INVALID.",
        "An empty reason is stored.",
    ),
    rule(
        "F3",
        "A fenced store serves reads, watches and exports.",
        "The fence is checked by every call.",
    ),
    rule(
        "F4",
        "Describe and Health report a fence.",
        "The state in memory is not updated.",
    ),
    rule(
        "F5",
        "No change follows the revision that Fence returned.",
        "A commit that began before the fence ends after it.",
    ),
    rule(
        "F6",
        "A lifted fence serves writes from the next revision.",
        "The fence or its end uses a revision.",
    ),
    rule(
        "F7",
        "An operation that was applied before the fence still returns its first revision by its \
         op_id.",
        "The fence is checked before the op_id.",
    ),
];

#[cfg(test)]
mod tests;
