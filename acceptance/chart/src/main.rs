//! Checks of the Helm chart.
//!
//! The chart is rendered with a pinned Helm for a matrix of values. Every object is checked by a
//! real kube-apiserver that has the definitions of cert-manager and of the Prometheus operator:
//! strict field validation, pod security, the rights of the service account, and upgrades from one
//! driver to another. `README.md` lists the checks.

mod cases;
mod cluster;
mod crds;
mod helm;
mod object;
mod programs;
mod refusals;
mod rendered;
mod report;
mod rights;
mod sources;
mod upgrades;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use scenarios::engine::helm::go_is_installed;
use scenarios::engine::reference::Reference;
use scenarios::report::print_line;
use scenarios::repository::Repository;

use crate::cluster::Cluster;
use crate::helm::Helm;
use crate::report::Report;

/// Check the Helm chart against a real kube-apiserver.
#[derive(Parser)]
struct Arguments {
    /// Print the objects of the case with this name, and exit.
    #[arg(long, value_name = "CASE")]
    print: Option<String>,
}

fn main() -> ExitCode {
    match check() {
        Ok(code) => code,
        Err(error) => {
            print_line(&format!("chart: {error:#}"));
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn check() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if !go_is_installed().await {
        print_line("skipped: the Helm chart, because Go is not installed, which builds Helm");
        return Ok(ExitCode::SUCCESS);
    }
    let repository = Repository::find()?;
    let helm = Helm::find(&repository).await?;
    let cases = cases::all();
    if let Some(name) = &arguments.print {
        for case in cases.iter().filter(|case| case.name == *name) {
            print_line(&helm.template(&case.values).await?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::default();
    sources::check(&helm, &mut report)?;
    refusals::check(&helm, &mut report).await?;
    let mut all = Vec::new();
    for case in &cases {
        match rendered::render(&helm, case).await {
            Ok(objects) => all.push((case, objects)),
            Err(error) => report.record(&case.name, Err(error)),
        }
    }
    for (case, objects) in &all {
        rendered::check(case, objects, &mut report);
        programs::check(case, objects, &mut report).await?;
    }
    let reference = Reference::find(&repository, print_line).await?;
    let mut cluster = Cluster::start(&reference).await?;
    for (case, objects) in &all {
        cluster.validate(case, objects, &mut report).await?;
    }
    rights::check(&cluster, &helm, &mut report).await?;
    upgrades::check(&cluster, &helm, &reference, &mut report).await?;
    cluster.stop().await?;
    Ok(report.finish())
}
