//! The run: each attack beside a well-behaved client. Attacks that wait for timeouts run
//! concurrently on a separate server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

use crate::attacks::{Attack, Context, Report};
use crate::client::{Connection, Request};
use crate::criteria::{Criteria, Problem};
use crate::monitor::{Monitor, Observed};
use crate::seed::{self, Seed};
use crate::server::{Server, Setup};
use crate::tls::{Identity, Protocol};
use crate::{kinds, neighbour, process};

/// Observation before the first attack on a server.
const QUIET_DURATION: Duration = Duration::from_millis(1500);
/// Observation after an attack, to include work that it left running.
const COOLDOWN: Duration = Duration::from_millis(150);
/// Time that an attack may take beyond its duration; a request that takes longer is a failure.
const GRACE: Duration = Duration::from_secs(45);
/// The server must release memory within a minute of the last attack.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);
/// Niceness of the attacking threads, so that server and neighbour take precedence.
const NICE: i32 = 10;

pub(crate) struct Plan {
    /// Minimum duration of each attack.
    pub(crate) seconds: Duration,
    pub(crate) criteria: Criteria,
}

/// The verdict on one attack.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) report: Report,
    pub(crate) during: Observed,
    pub(crate) quiet: Observed,
    pub(crate) elapsed: Duration,
    pub(crate) problems: Vec<Problem>,
}

/// A server and the observations before it was attacked.
struct Subject {
    server: Server,
    quiet: Observed,
    /// Bytes of cached objects and changes before it was attacked.
    cached: u64,
    setup: Setup,
    /// An attack succeeded, so later measurements on this server would show its consequences.
    compromised: bool,
}

/// Runs all attacks. An error is a fault of the suite, not of the server.
pub(crate) fn run(attacks: &[Attack], plan: &Plan) -> Result<Vec<Row>> {
    let descriptors = process::raise_descriptors();
    progress(&format!("{descriptors} descriptors; storing the objects"));
    let mut seed = Seed::store().context("cannot store the initial objects")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| {
            // Best effort: the niceness only improves the measurement.
            let _ = rustix::process::setpriority_process(None, NICE);
        })
        .enable_all()
        .build()?;
    let (waits_for_timeouts, others): (Vec<_>, Vec<_>) =
        attacks.iter().partition(|attack| attack.waits_for_timeouts);
    let mut rows = Vec::new();
    let mut timeout_attacks = None;
    if !waits_for_timeouts.is_empty() {
        let subject = Subject::start(&mut seed, Setup::Standard)?;
        timeout_attacks = Some(TimeoutAttacks::start(
            subject,
            &waits_for_timeouts,
            plan,
            &runtime,
        )?);
    }
    let mut subject: Option<Subject> = None;
    for attack in others {
        // The memory of a server is checked before the next setup replaces it.
        if let Some(before) = subject.take_if(|before| before.setup != attack.setup) {
            rows.extend(before.memory_released()?);
        }
        let row = attack_twice(&mut seed, &mut subject, attack, plan, &runtime)?;
        progress(&crate::report::line(&row));
        rows.push(row);
    }
    if let Some(subject) = subject {
        rows.extend(subject.memory_released()?);
    }
    if let Some(timeout_attacks) = timeout_attacks {
        for row in timeout_attacks.end()? {
            progress(&crate::report::line(&row));
            rows.push(row);
        }
    }
    Ok(rows)
}

#[expect(clippy::print_stdout, reason = "progress of minutes of work")]
fn progress(line: &str) {
    println!("{line}");
}

impl Subject {
    fn start(seed: &mut Seed, setup: Setup) -> Result<Self> {
        let server = seed.server(setup)?;
        let monitor = Monitor::start(&server.target, server.pid())?;
        std::thread::sleep(QUIET_DURATION);
        let quiet = monitor.stop()?;
        let errors = &quiet.errors;
        anyhow::ensure!(
            errors.is_empty(),
            "before any attack: {}",
            errors.join("; ")
        );
        let cached = cached(&server)?;
        Ok(Self {
            server,
            quiet,
            cached,
            setup,
            compromised: false,
        })
    }

    /// The verdict on released memory; `None` if an attack has already succeeded.
    fn memory_released(self) -> Result<Option<Row>> {
        if self.compromised {
            return Ok(None);
        }
        let name = match self.setup {
            Setup::Standard => "memory-afterwards/standard",
            Setup::FewDescriptors => "memory-afterwards/few-descriptors",
            Setup::FewSeats => "memory-afterwards/few-seats",
            // Events wait for the collector until their calls fail.
            Setup::HungCollector => return Ok(None),
        };
        let row = memory_released(name, self)?;
        progress(&crate::report::line(&row));
        Ok(Some(row))
    }
}

/// Repeats an attack once on a fresh server if only a time limit was exceeded, because the machine
/// may have been busy.
fn attack_twice(
    seed: &mut Seed,
    subject: &mut Option<Subject>,
    attack: &Attack,
    plan: &Plan,
    runtime: &Runtime,
) -> Result<Row> {
    let row = attack_once(seed, subject, attack, plan, runtime)?;
    let excusable = row.problems.iter().all(|problem| problem.timing);
    if row.problems.is_empty() || !excusable {
        return Ok(row);
    }
    progress(&format!("again: {}", crate::report::line(&row)));
    attack_once(seed, subject, attack, plan, runtime)
}

fn attack_once(
    seed: &mut Seed,
    subject: &mut Option<Subject>,
    attack: &Attack,
    plan: &Plan,
    runtime: &Runtime,
) -> Result<Row> {
    let usable = |subject: &Subject| !subject.compromised && subject.setup == attack.setup;
    let mut subject_now = match subject.take().filter(usable) {
        Some(subject) => subject,
        None => Subject::start(seed, attack.setup)?,
    };
    let started = Instant::now();
    let server = &subject_now.server;
    let cpu = process::cpu(server.pid())?;
    let logged = server.logged();
    let monitor = Monitor::start(&server.target, server.pid())?;
    let context = Context::new(server, plan);
    // Runs on a nice thread of the runtime; the current thread has normal priority.
    let tasks = TaskTracker::new();
    let task = tasks.spawn_on(
        limited(*attack, context, plan.seconds + GRACE),
        runtime.handle(),
    );
    let report = runtime
        .block_on(task)
        .unwrap_or_else(|error| Report::problem(format!("the attack panicked: {error}")));
    std::thread::sleep(COOLDOWN);
    let during = monitor.stop()?;
    let cpu = process::cpu(server.pid())
        .unwrap_or(cpu)
        .saturating_sub(cpu);
    let mut row = Row {
        name: attack.name,
        report,
        during,
        quiet: subject_now.quiet.clone(),
        elapsed: started.elapsed(),
        problems: Vec::new(),
    };
    row.problems = problems(&mut subject_now.server, &row, cpu, plan, runtime)?;
    let logged = subject_now.server.logged().saturating_sub(logged);
    row.problems
        .extend(Criteria::evaluate_log(logged, row.elapsed));
    subject_now.compromised = !row.problems.is_empty();
    *subject = Some(subject_now);
    Ok(row)
}

/// Runs the attack. One that fails or exceeds the time limit is reported as a problem.
async fn limited(attack: Attack, context: Context, longest: Duration) -> Report {
    match tokio::time::timeout(longest, attack.run(context)).await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => Report::problem(format!("the attack failed: {error:#}")),
        Err(_) => Report::problem(format!("the attack did not end within {longest:?}")),
    }
}

fn problems(
    server: &mut Server,
    row: &Row,
    cpu: Duration,
    plan: &Plan,
    runtime: &Runtime,
) -> Result<Vec<Problem>> {
    let mut problems = row.report.problems.clone();
    if let Some(end) = server.ended()? {
        problems.insert(0, Problem::wrong(format!("THE SERVER ENDED: {end}")));
        return Ok(problems);
    }
    problems.extend(plan.criteria.evaluate(&row.quiet, &row.during));
    let each = cpu / u32::try_from(row.report.requests.max(1)).unwrap_or(u32::MAX);
    if row.report.requests > 0 && each > plan.criteria.cpu {
        problems.push(Problem::wrong(format!(
            "a request costs {each:.1?} of CPU time, limit {:.1?}",
            plan.criteria.cpu
        )));
    }
    if let Err(error) = runtime.block_on(readable(server)) {
        problems.push(Problem::wrong(format!("afterwards: {error:#}")));
    }
    Ok(problems)
}

/// Checks that both kinds can be listed, whatever an attacker stored.
async fn readable(server: &Server) -> Result<()> {
    let target = &server.target;
    let mut connection =
        Connection::open(target, neighbour::ADDRESS, Identity::Admin, Protocol::Http1).await?;
    for kind in ["blobs", "forms"] {
        let request = Request::get(kinds::collection(seed::NAMESPACE, kind));
        let response = connection.call(&request, Duration::from_secs(10)).await?;
        let path = &request.path;
        anyhow::ensure!(
            response.status == 200,
            "GET {path}: {}",
            response.describe()
        );
    }
    Ok(())
}

/// Bytes of the objects and of the past changes that the server reports to keep.
fn cached(server: &Server) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let metrics = runtime.block_on(async {
        let target = &server.target;
        let mut connection =
            Connection::open(target, neighbour::ADDRESS, Identity::Admin, Protocol::Http1).await?;
        let request = Request::get("/metrics");
        connection.call(&request, Duration::from_secs(10)).await
    })?;
    anyhow::ensure!(
        metrics.status == 200,
        "GET /metrics: {}",
        metrics.describe()
    );
    let text = String::from_utf8_lossy(&metrics.body);
    let gauge = |name: &str| -> Result<u64> {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("/metrics has no {name}"))?;
        Ok(value.parse::<f64>()? as u64)
    };
    Ok(gauge("ark_cache_object_bytes")? + gauge("ark_cache_history_bytes")?)
}

/// Waits until the memory is near its quiet value again.
fn memory_released(name: &'static str, mut subject: Subject) -> Result<Row> {
    let started = Instant::now();
    let stored = cached(&subject.server)?.saturating_sub(subject.cached);
    let limit = Criteria::memory_afterwards(subject.quiet.memory, stored);
    let mut during = Observed::default();
    let mut problems = Vec::new();
    loop {
        if let Some(end) = subject.server.ended()? {
            problems.push(Problem::wrong(format!("THE SERVER ENDED: {end}")));
            break;
        }
        during.memory = process::resident(subject.server.pid())?;
        if during.memory <= limit {
            break;
        }
        if started.elapsed() > RELEASE_TIMEOUT {
            problems.push(Problem::wrong(format!(
                "resident memory is {} MiB a minute later, limit {} MiB; {} MiB are cached",
                during.memory >> 20,
                limit >> 20,
                stored >> 20
            )));
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(Row {
        name,
        report: Report::default(),
        during,
        quiet: subject.quiet,
        elapsed: started.elapsed(),
        problems,
    })
}

/// Attacks that last as long as the server's longest deadline, all concurrently on one server.
struct TimeoutAttacks {
    subject: Subject,
    monitor: Monitor,
    attacks: Vec<(&'static str, tokio::task::JoinHandle<(Report, Duration)>)>,
    tasks: TaskTracker,
    criteria: Criteria,
}

impl TimeoutAttacks {
    fn start(
        subject: Subject,
        attacks: &[&Attack],
        plan: &Plan,
        runtime: &Runtime,
    ) -> Result<Self> {
        let server = &subject.server;
        let monitor = Monitor::start(&server.target, server.pid())?;
        let tasks = TaskTracker::new();
        let attacks = attacks.iter().map(|attack| {
            let (context, attack) = (Context::new(server, plan), **attack);
            let task = async move {
                let started = Instant::now();
                let report = limited(attack, context, Duration::from_secs(600)).await;
                (report, started.elapsed())
            };
            (attack.name, tasks.spawn_on(task, runtime.handle()))
        });
        let attacks = attacks.collect();
        Ok(Self {
            attacks,
            monitor,
            tasks,
            criteria: plan.criteria.clone(),
            subject,
        })
    }

    /// Waits for the attacks. Ignores the neighbour's times, because other servers of this run were
    /// attacked meanwhile.
    fn end(mut self) -> Result<Vec<Row>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut rows = Vec::new();
        for (name, task) in self.attacks {
            let ended = runtime.block_on(task);
            let (report, elapsed) = ended.map_err(|error| anyhow!("{name}: {error}"))?;
            rows.push(Row {
                name,
                problems: report.problems.clone(),
                report,
                during: Observed::default(),
                quiet: self.subject.quiet.clone(),
                elapsed,
            });
        }
        self.tasks.close();
        let during = self.monitor.stop()?;
        let quiet = self.subject.quiet.clone();
        let mut problems = self.criteria.evaluate(&quiet, &during);
        problems.retain(|problem| !problem.timing);
        if let Some(end) = self.subject.server.ended()? {
            problems.push(Problem::wrong(format!("THE SERVER ENDED: {end}")));
        }
        let after = memory_released("memory-afterwards/patient", self.subject)?;
        rows.push(Row {
            name: "patient/neighbour",
            report: Report::default(),
            during,
            quiet,
            elapsed: Duration::ZERO,
            problems,
        });
        rows.push(after);
        Ok(rows)
    }
}
