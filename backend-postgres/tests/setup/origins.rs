//! Tests of the origins of changes in the log: across releases, roles and moves.

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Event, Header, Key, Op, Origin};
use postgres_testkit::{Server, Session};
use sidecar::driver::{Driver as _, ImportOptions, ImportPart};
use tokio::sync::mpsc;

use crate::program::{database, migrate, rejection};

/// A login role that owns nothing.
const ROLE: &str = "runtime";

async fn open(dsn: &str) -> PostgresDriver {
    let options = Options::from_dsn(dsn).expect("a DSN");
    PostgresDriver::open(options).await.expect("opened")
}

fn origin(verb: &str) -> Origin {
    Origin {
        manager: "kubectl-edit".to_owned(),
        verb: verb.to_owned(),
        subresource: "status".to_owned(),
    }
}

fn op(action: Action, value: &str, origin: Option<Origin>) -> Op {
    Op {
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: "default".to_owned(),
            name: "a".to_owned(),
        }),
        action: action.into(),
        value: value.to_owned().into(),
        actor: "somebody".to_owned(),
        origin,
        ..Op::default()
    }
}

/// Applies one operation; returns its event.
async fn apply(driver: &PostgresDriver, op: Op) -> Event {
    let committed = driver.commit(vec![op]).await.expect("committed");
    committed.events.into_iter().next().expect("applied")
}

async fn log(driver: &PostgresDriver) -> Vec<Event> {
    let started = driver.header().await.expect("header").compact_revision;
    let page = driver.read_log(started, usize::MAX).await.expect("log");
    page.events
}

fn origins(events: &[Event]) -> Vec<Option<Origin>> {
    events.iter().map(|event| event.origin.clone()).collect()
}

/// The read of the log by programs of schema version 2. They may still run beside this release,
/// with statements prepared before the migration.
const PREPARED_BEFORE: &str = "prepare log_before(bigint) as
    select s.revision, e.* from ark.store s left join lateral (
      select l.revision, l.actor, l.old_value from (
        select t.*, sum(t.size::bigint) over (order by t.revision) as before
        from (select * from ark.log where revision > $1 order by revision limit 1024) t) l) e on true;
    execute log_before(0)";

/// Writes a change as these programs do.
async fn update_as_before(session: &Session) {
    let sql = "begin;
        insert into ark.log (revision, resource, path, change, previous, create_revision, created_at,
            time, actor, size, old_time, old_sum, old_idx, old_value)
          select s.revision + 1, o.resource, o.path, 2, o.revision, o.create_revision, o.created_at,
            o.time, 'somebody', 1, o.time, o.sum, o.idx, o.value from ark.object o, ark.store s;
        update ark.object set revision = s.revision + 1, value = '4', sum = sha256('4')
          from ark.store s;
        update ark.store set revision = revision + 1;
        commit";
    session.batch_execute(sql).await.expect("written");
}

#[tokio::test]
async fn store_of_previous_release_has_no_origins_and_can_be_moved() {
    let (server, dsn) = database(Server::builder()).await;
    let session = server.session("ark").await.expect("a session");
    let driver = open(&dsn).await;
    apply(&driver, op(Action::Create, "1", Some(origin("create")))).await;
    apply(&driver, op(Action::Update, "2", None)).await;
    let before = log(&driver).await;
    assert_eq!(origins(&before), [Some(origin("create")), None]);
    driver.close().await;
    // Revert to the schema of that release.
    migrate(&dsn, &["--to", "2"]).await.expect("migrated");
    let columns = "select count(*) from information_schema.columns where table_schema = 'ark' \
                   and table_name like 'log%' and column_name in ('manager', 'verb', 'subresource')";
    let columns = session.text(columns).await.expect("asked");
    assert_eq!(columns.as_deref(), Some("0"));

    let prepared = session.batch_execute(PREPARED_BEFORE).await;
    prepared.expect("prepared");
    let driver = open(&dsn).await;
    assert_eq!(origins(&log(&driver).await), [None, None]);
    let again = session.batch_execute("execute log_before(0)").await;
    again.expect("read as before");
    apply(&driver, op(Action::Update, "3", Some(origin("patch")))).await;
    update_as_before(&session).await;
    apply(&driver, op(Action::Delete, "", Some(origin("delete")))).await;
    let (patched, deleted) = (Some(origin("patch")), Some(origin("delete")));
    let events = log(&driver).await;
    assert_eq!(origins(&events), [None, None, patched, None, deleted]);
    assert!(events.iter().all(|event| event.actor == "somebody"));

    let header = driver.header().await.expect("header");
    let source = Header {
        revision: header.compact_revision,
        ..header
    };
    driver.close().await;
    let target = server.create_database("copy").await.expect("a database");
    let target = open(&target).await;
    let (sender, parts) = mpsc::channel(2);
    for part in [ImportPart::Events(events.clone()), ImportPart::Done] {
        sender.send(part).await.expect("room");
    }
    drop(sender);
    let options = ImportOptions {
        source,
        keep_epoch: true,
        more: false,
        discard: false,
    };
    target.import(options, parts).await.expect("imported");
    assert_eq!(log(&target).await, events);
    target.close().await;
}

#[tokio::test]
async fn events_of_commit_equal_those_of_log() {
    let (_server, dsn) = database(Server::builder()).await;
    let driver = open(&dsn).await;
    let odd = Origin {
        manager: format!("a\0{}", "é".repeat(70)),
        verb: "\0".to_owned(),
        subresource: "s".repeat(40),
    };
    let zeros = Origin {
        verb: "\0\0".to_owned(),
        ..Origin::default()
    };
    let handed = [
        apply(&driver, op(Action::Create, "1", Some(odd))).await,
        apply(&driver, op(Action::Update, "2", Some(zeros))).await,
    ];
    assert_eq!(log(&driver).await, handed);
    let stored = Origin {
        manager: format!("a{}", "é".repeat(63)),
        verb: String::new(),
        subresource: "s".repeat(32),
    };
    assert_eq!(origins(&handed), [Some(stored), None]);
    driver.close().await;
}

#[tokio::test]
async fn unprivileged_role_needs_migrate_once() {
    let (server, _) = database(Server::builder().user(ROLE, "hush-hush")).await;
    let owner = server.dsn("ark");
    migrate(&owner, &["--grant", ROLE]).await.expect("migrated");
    migrate(&owner, &["--to", "2"]).await.expect("as before");
    let dsn = server.user_dsn(ROLE, "ark").expect("the role");
    let rejected = rejection(&["--dsn", &dsn], &[]).await;
    for words in [
        "has schema version 2",
        "needs 4",
        "backend-postgres migrate",
    ] {
        assert!(rejected.contains(words), "{rejected}");
    }
    // The earlier grant covers the new columns.
    migrate(&owner, &[]).await.expect("migrated");
    let driver = open(&dsn).await;
    let created = apply(&driver, op(Action::Create, "1", Some(origin("create")))).await;
    assert_eq!(log(&driver).await, [created]);
    driver.close().await;
}
