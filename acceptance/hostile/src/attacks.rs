//! The attacks. Most are lists of requests that [`fire`] sends; clients that misbehave below HTTP
//! have functions of their own. Modules are ordered by the fault that they look for.

mod applies;
mod audits;
mod connections;
mod crowds;
mod depth;
mod errors;
mod floods;
mod forms;
mod http;
mod impersonation;
mod limits;
mod patches;
mod quadratic;
mod readers;
mod requests;
mod selectors;
mod tokens;
mod watches;
mod yaml;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::BoxFuture;

pub(crate) use self::requests::{Expect, Shot, fire};
use crate::criteria::Problem;
use crate::server::{Driver, Server, Setup};
use crate::suite::Plan;
use crate::tls::Target;

/// Source address of most attackers. Attackers on the neighbour's own address share its per-address
/// limits, so they attack it harder.
const ATTACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Upper bound of problems that a report lists for one attack.
const MAX_PROBLEMS: usize = 5;

#[derive(Clone, Copy)]
pub(crate) struct Attack {
    /// `theme/case`.
    pub(crate) name: &'static str,
    /// What the attack sends.
    pub(crate) what: &'static str,
    /// Setup of the server under attack.
    pub(crate) setup: Setup,
    /// Takes minutes or many thousand sockets; runs only with `--long`.
    pub(crate) long: bool,
    /// Waits for server timeouts, so it runs concurrently with the others on a separate server.
    pub(crate) waits_for_timeouts: bool,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Requests(fn() -> Vec<Shot>),
    Client(fn(Context) -> BoxFuture<'static, Result<Report>>),
}

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) target: Target,
    /// Storage driver behind the target.
    pub(crate) driver: Driver,
    /// Minimum duration of the attack.
    pub(crate) seconds: Duration,
}

/// What an attack sent, and which of its own expectations failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Number of complete requests; 0 for attacks below HTTP.
    pub(crate) requests: u64,
    /// Bytes sent.
    pub(crate) bytes: u64,
    /// Violations observed by the attacker itself.
    pub(crate) problems: Vec<Problem>,
}

impl Attack {
    /// An attack that sends a list of requests.
    const fn requests(name: &'static str, what: &'static str, requests: fn() -> Vec<Shot>) -> Self {
        Self {
            name,
            what,
            setup: Setup::Standard,
            long: false,
            waits_for_timeouts: false,
            action: Action::Requests(requests),
        }
    }

    /// An attack with its own client function.
    const fn client(
        name: &'static str,
        what: &'static str,
        client: fn(Context) -> BoxFuture<'static, Result<Report>>,
    ) -> Self {
        Self {
            action: Action::Client(client),
            ..Self::requests(name, what, Vec::new)
        }
    }

    const fn setup(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }

    const fn long(self) -> Self {
        Self { long: true, ..self }
    }

    const fn waits_for_timeouts(self) -> Self {
        Self {
            waits_for_timeouts: true,
            ..self
        }
    }

    pub(crate) async fn run(self, context: Context) -> Result<Report> {
        match self.action {
            Action::Requests(requests) => Ok(fire(&context, &requests()).await),
            Action::Client(client) => client(context).await,
        }
    }
}

impl Context {
    pub(crate) fn new(server: &Server, plan: &Plan) -> Self {
        Self {
            target: server.target.clone(),
            driver: server.driver(),
            seconds: plan.seconds,
        }
    }
}

impl Report {
    /// A report of an attack that cannot continue because of `text`.
    pub(crate) fn problem(text: String) -> Self {
        Self {
            problems: vec![Problem::wrong(text)],
            ..Self::default()
        }
    }

    fn add(&mut self, problem: String) {
        let known = self.problems.iter().any(|known| known.text == problem);
        if !known && self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::wrong(problem));
        }
    }
}

/// All attacks. Attacks that need another setup come last, so that each setup is started once.
pub(crate) fn all() -> Vec<Attack> {
    let tables: [&[Attack]; 16] = [
        depth::ATTACKS,
        quadratic::ATTACKS,
        errors::ATTACKS,
        applies::ATTACKS,
        patches::ATTACKS,
        yaml::ATTACKS,
        selectors::ATTACKS,
        watches::ATTACKS,
        tokens::ATTACKS,
        forms::ATTACKS,
        impersonation::ATTACKS,
        http::ATTACKS,
        readers::ATTACKS,
        floods::ATTACKS,
        crowds::ATTACKS,
        connections::ATTACKS,
    ];
    let mut all = tables.concat();
    all.extend_from_slice(limits::ATTACKS);
    all.extend_from_slice(audits::ATTACKS);
    all.sort_by_key(|attack| attack.setup);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Action, all};

    #[test]
    fn attack_names_are_unique_and_request_lists_not_empty() {
        let names: BTreeSet<&str> = all().iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), all().len());
        for attack in all() {
            if let Action::Requests(requests) = attack.action {
                assert!(!requests().is_empty(), "{}", attack.name);
            }
        }
    }
}
