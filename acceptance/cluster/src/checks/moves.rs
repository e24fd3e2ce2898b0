//! `arkctl adopt` and `arkctl return` while clients write and watch.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use crate::call::Call;
use crate::moves::arkctl;
use crate::moves::crds::{FAMILIES, Side, collected, families, prepare, side};
use crate::moves::{Clients, Figures};
use crate::world::World;

/// Time for which clients work before and after a move.
const WORK: Duration = Duration::from_secs(3);
/// Longest time of refused writes, from the issue.
const ADOPT_REFUSED: Duration = Duration::from_secs(5);
const RETURN_REFUSED: Duration = Duration::from_secs(90);
/// Slack for machines on which other programs run.
const SLACK: Duration = Duration::from_secs(10);
/// Restarts of kube-apiserver.
const RESTARTS: usize = 2;
/// Kills of arkctl in each direction, and the time after which each happens.
const KILLS: usize = 8;
const FIRST_KILL: Duration = Duration::from_millis(150);
const NEXT_KILL: Duration = Duration::from_millis(750);

pub(super) async fn adopt(world: &mut World) -> Result<String> {
    prepare(world).await?;
    let before = families(&world.admin).await?;
    ensure!(before.len() == FAMILIES, "{} families", before.len());
    let refused = arkctl::run(world, "adopt", &["--dry-run"]).await?;
    ensure!(refused.contains("no obstacles"), "{refused}");
    let (figures, output) = under_load(world, "adopt", "first", Side::Gateway).await?;
    let limit = ADOPT_REFUSED + SLACK;
    ensure!(figures.refused_for < limit, "{figures}");
    unchanged(world, &before).await?;
    let again = arkctl::run(world, "adopt", &[]).await?;
    ensure!(again.contains("adopted already"), "{again}");
    let took = collected(&world.admin, 0).await?;
    let digest = line_with(&output, "equal:");
    Ok(format!(
        "{figures}; garbage after {:.1} s; {digest}",
        took.as_secs_f64()
    ))
}

/// kube-apiserver serves the CRDs for a moment after a start.
pub(super) async fn restarts(world: &mut World) -> Result<String> {
    adopted(world).await?;
    let clients = Clients::start(&world.admin, "restart");
    for _ in 0..RESTARTS {
        sleep(WORK).await;
        world.cluster.control_plane.kill_server().await?;
        world.cluster.control_plane.start_server().await?;
    }
    sleep(WORK).await;
    world.cluster.release.wait_available(&world.admin).await?;
    let figures = clients.finish().await?;
    Ok(format!("{RESTARTS} restarts: {figures}"))
}

pub(super) async fn give_back(world: &mut World) -> Result<String> {
    adopted(world).await?;
    let before = families(&world.admin).await?;
    let (figures, output) = under_load(world, "return", "second", Side::Crds).await?;
    ensure!(figures.refused_for < RETURN_REFUSED + SLACK, "{figures}");
    unchanged(world, &before).await?;
    let again = arkctl::run(world, "return", &[]).await?;
    ensure!(again.contains("returned already"), "{again}");
    let took = collected(&world.admin, 20).await?;
    let digest = line_with(&output, "equal:");
    Ok(format!(
        "{figures}; garbage after {:.1} s; {digest}",
        took.as_secs_f64()
    ))
}

pub(super) async fn killed(world: &mut World) -> Result<String> {
    prepare(world).await?;
    if side(&world.admin).await? == Side::Gateway {
        arkctl::run(world, "return", &["--goodbye", "2"]).await?;
    }
    let before = families(&world.admin).await?;
    let clients = Clients::start(&world.admin, "killed");
    let mut ended = Vec::new();
    for (command, extra) in [("adopt", &[][..]), ("return", &["--goodbye", "2"][..])] {
        let mut pause = FIRST_KILL;
        for _ in 0..KILLS {
            let mut arkctl = arkctl::start(world, command, extra)?;
            sleep(pause).await;
            arkctl.kill().await.context("kill")?;
            pause += NEXT_KILL;
        }
        ended.push(arkctl::run(world, command, extra).await?);
    }
    let figures = clients.finish().await?;
    unchanged(world, &before).await?;
    // An adoption that is killed before the switch can be undone.
    let mut arkctl = arkctl::start(world, "adopt", &[])?;
    sleep(NEXT_KILL * 2).await;
    arkctl.kill().await.context("kill")?;
    let undone = arkctl::run(world, "adopt", &["--undo"]).await;
    let finished = match undone {
        Ok(_) => "undone",
        // It was killed after the switch.
        Err(_) => "finished",
    };
    arkctl::run(world, "adopt", &[]).await?;
    unchanged(world, &before).await?;
    ensure!(
        side(&world.admin).await? == Side::Gateway,
        "the CRDs respond"
    );
    Ok(format!("{} kills: {figures}; {finished}", 2 * KILLS))
}

/// An adoption that would lose a field, or whose gateway is unreachable, changes nothing.
pub(super) async fn obstacles(world: &mut World) -> Result<String> {
    prepare(world).await?;
    if side(&world.admin).await? == Side::Gateway {
        arkctl::run(world, "return", &["--goodbye", "2"]).await?;
    }
    let admin = &world.admin;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/memories.ark.mckinsey.com";
    let original = Call::new("GET", path).json(admin).await?;
    let mut changed = original.clone();
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = changed.pointer_mut(schema).context("no schema")?;
    fields["targets"] = serde_json::json!({"type": "string"});
    Call::new("PUT", path).body(&changed).json(admin).await?;
    let lost = arkctl::run(world, "adopt", &[]).await;
    let elsewhere = arkctl::run(world, "adopt", &["--service", "ark-system/nothing"]).await;
    let mut restored = Call::new("GET", path).json(admin).await?;
    restored["spec"] = original["spec"].clone();
    Call::new("PUT", path).body(&restored).json(admin).await?;
    for (attempt, expected) in [
        (
            &lost,
            &["does not know .spec.targets", "nothing was changed"][..],
        ),
        (
            &elsewhere,
            &["nothing.ark-system.svc", "has no ready endpoint"][..],
        ),
    ] {
        let rejected = attempt.as_ref().err().context("adopted")?.to_string();
        for expected in expected {
            ensure!(rejected.contains(expected), "no {expected:?}: {rejected}");
        }
    }
    ensure!(side(admin).await? == Side::Crds, "the gateway responds");
    Ok("all named at once".to_owned())
}

async fn adopted(world: &World) -> Result<()> {
    prepare(world).await?;
    if side(&world.admin).await? == Side::Crds {
        arkctl::run(world, "adopt", &[]).await?;
    }
    Ok(())
}

/// Moves the kinds while clients work; returns what they saw, and arkctl's output.
async fn under_load(
    world: &World,
    command: &str,
    name: &str,
    expected: Side,
) -> Result<(Figures, String)> {
    let clients = Clients::start(&world.admin, name);
    sleep(WORK).await;
    let output = arkctl::run(world, command, &[]).await?;
    ensure!(
        side(&world.admin).await? == expected,
        "the other side responds"
    );
    sleep(WORK).await;
    Ok((clients.finish().await?, output))
}

/// Checks that the families are equal except for their resourceVersions.
async fn unchanged(world: &World, before: &[serde_json::Value]) -> Result<()> {
    let after = families(&world.admin).await?;
    let differs = before.iter().zip(&after).find(|(old, new)| old != new);
    if let Some((old, new)) = differs {
        anyhow::bail!("an object has changed: {old} to {new}");
    }
    ensure!(
        before.len() == after.len(),
        "{} of {}",
        after.len(),
        before.len()
    );
    Ok(())
}

fn line_with<'a>(output: &'a str, text: &str) -> &'a str {
    output
        .lines()
        .find(|line| line.contains(text))
        .unwrap_or_default()
}
