//! `cargo xtask images`: the images of `Dockerfile.gateway` and `Dockerfile.backend`, assembled by
//! buildah from local static programs. Needs neither a daemon nor a registry.

mod inspect;
mod sandbox;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{self, step};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of static programs, as dev/static-programs writes it [default: build them].
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Folder for the images, one OCI layout each.
    #[arg(long, value_name = "DIR", default_value = "target/images")]
    out: PathBuf,
    /// Time of all files and of the images, in seconds since 1970 [default: that of the commit].
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    epoch: Option<u64>,
    /// Also start the programs from the images, as the chart's pod does: read-only root, uid 65532,
    /// no capabilities. Needs root, runc and curl.
    #[arg(long)]
    run: bool,
}

/// Name of an image, its file, and the driver.
const IMAGES: &[(&str, &str, &str)] = &[
    ("ark-apiserver", "Dockerfile.gateway", ""),
    (
        "ark-apiserver-backend-sqlite",
        "Dockerfile.backend",
        "sqlite",
    ),
    (
        "ark-apiserver-backend-postgresql",
        "Dockerfile.backend",
        "postgresql",
    ),
];

/// Limit of the compressed layers of an image.
const IMAGE_BYTES: u64 = 20_000_000;

/// Assembles each image twice, and prints its digest and size.
pub(crate) fn run(options: &Options) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    // The Dockerfiles copy from `/out` of the stage `programs`, which the folder replaces.
    let context = scratch.path().join("programs");
    let built = context.join("out");
    let out = run::workspace_root().join(&options.out);
    match &options.programs {
        Some(folder) => {
            let folder = std::path::absolute(folder)?;
            std::fs::create_dir_all(&context)?;
            step(
                "copy programs",
                run::command("cp").arg("-r").arg(folder).arg(&built),
            )?;
        }
        None => step(
            "build static programs",
            run::command("dev/static-programs").arg("").arg(&built),
        )?,
    }
    let epoch = match options.epoch {
        Some(epoch) => epoch.to_string(),
        None => text(run::command("git").args(["log", "-1", "--format=%ct"]))?,
    };
    let revision = text(run::command("git").args(["rev-parse", "HEAD"]))?;
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    std::fs::create_dir_all(&out)?;
    let roots = scratch.path().join("roots");
    for (name, file, driver) in IMAGES {
        let mut digests = Vec::new();
        for attempt in ["first", "second"] {
            let layout = out.join(name);
            if layout.exists() {
                std::fs::remove_dir_all(&layout)?;
            }
            let store = scratch.path().join(format!("{name}-{attempt}"));
            let buildah = |arguments: &[&str]| {
                let mut command = run::command("buildah");
                command
                    .args(["--storage-driver", "vfs", "--root"])
                    .arg(store.join("root"))
                    .arg("--runroot")
                    .arg(store.join("run"))
                    .args(arguments);
                command
            };
            let programs = format!("programs={}", context.display());
            let mut build = buildah(&["build", "--quiet", "--isolation", "chroot"]);
            build
                .args(["--timestamp", &epoch, "--identity-label=false"])
                .args(["--build-context", &programs, "--file", file, "--tag", name])
                .args(["--build-arg", &format!("REVISION={revision}")])
                .args(["--build-arg", &format!("TARGETARCH={architecture}")]);
            if !driver.is_empty() {
                build.args(["--build-arg", &format!("DRIVER={driver}")]);
            }
            step(&format!("assemble {name}"), build.arg("."))?;
            let target = format!("oci:{}:latest", layout.display());
            let mut push = buildah(&["push", "--quiet", name, &target]);
            step(&format!("write {}", layout.display()), &mut push)?;
            digests.push(digest(&layout)?);
        }
        ensure!(
            digests[0] == digests[1],
            "{name}: two assemblies of the same programs differ: {digests:?}"
        );
        check(name, &digests[0], &out.join(name), &roots.join(name))?;
    }
    if options.run {
        sandbox::check(&roots, scratch.path())?;
    }
    Ok(())
}

/// Checks size and content of an image, and unpacks it into `root`.
fn check(name: &str, digest: &str, layout: &Path, root: &Path) -> Result<()> {
    let size = size(&layout.join("blobs/sha256"))?;
    println!("{name}: {digest} {:.1} MB", size as f64 / 1e6);
    ensure!(
        size < IMAGE_BYTES,
        "{name}: {size} bytes, more than {IMAGE_BYTES}"
    );
    inspect::unpack(layout, root)?;
    inspect::check(layout, root, name)
}

/// Digest of the image in an OCI layout.
fn digest(layout: &Path) -> Result<String> {
    let index = std::fs::read(layout.join("index.json"))?;
    let index: serde_json::Value = serde_json::from_slice(&index)?;
    let digest = index["manifests"][0]["digest"].as_str();
    Ok(digest
        .context("an OCI layout without a manifest")?
        .to_owned())
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn text(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
