//! The examples of `local`: what Docker Compose and systemd start is a command line that this version understands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use realtime_token_operator::config::{Cli, Command};
use realtime_token_operator::local::LocalArgs;
use serde_json::Value;

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/local");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn parsed<'a>(args: impl IntoIterator<Item = &'a str>) -> LocalArgs {
    let args = ["realtime-token-operator"].into_iter().chain(args);
    match Cli::try_parse_from(args)
        .unwrap_or_else(|problem| panic!("{problem}"))
        .command
    {
        Command::Local(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn compose_starts_local_beside_an_application_that_mounts_the_directory() {
    let compose: Value = serde_saphyr::from_str(&example("compose.yaml")).unwrap();
    let [token, app] = ["token", "app"].map(|service| &compose["services"][service]);
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let command = texts(&token["command"]);
    let args = parsed(command.iter().map(String::as_str));
    let (manifest, directory) = (
        args.filename.display().to_string(),
        args.directory.display().to_string(),
    );
    let mounts = texts(&token["volumes"]);
    assert_eq!(
        mounts,
        [format!("./token.yaml:{manifest}:ro"), format!("token:{directory}")]
    );
    assert!(texts(&app["volumes"]).contains(&format!("token:{directory}:ro")));
    assert!(args.listen.unwrap().ip().is_loopback());
    assert_eq!(token["network_mode"], "service:app", "one loopback address");
    assert_eq!(token["user"], app["user"], "only the owner can read the files");
    let id = token["user"].as_str().unwrap().split(':').next().unwrap();
    let options = compose["volumes"]["token"]["driver_opts"]["o"].as_str().unwrap();
    assert!(options.starts_with(&format!("uid={id},")), "{options}");
    assert!(app.get("environment").is_none(), "the application has no key");
}

/// The directives of a unit by section; one that stands several times has several values.
fn unit() -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections = BTreeMap::<String, Vec<_>>::new();
    let mut section = String::new();
    for line in example("realtime-token.service").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line} is no directive"));
        sections
            .entry(section.clone())
            .or_default()
            .push((key.to_owned(), value.to_owned()));
    }
    sections
}

#[test]
fn the_unit_starts_local_with_the_key_that_systemd_loads() {
    let unit = unit();
    assert_eq!(unit.keys().collect::<Vec<_>>(), ["Install", "Service", "Unit"]);
    let value = |key: &str| {
        let found = unit["Service"].iter().find(|(name, _)| name == key);
        found.unwrap_or_else(|| panic!("no {key}")).1.as_str()
    };
    let mut words = value("ExecStart").split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/realtime-token-operator"));
    let args = parsed(words);
    assert_eq!(args.credentials_dir, Some(PathBuf::from("%d")));
    let manifest: Value = serde_saphyr::from_str(&example("token.yaml")).unwrap();
    let key = manifest["spec"]["credentials"]["secretRef"]["key"].as_str().unwrap();
    assert!(value("LoadCredential").starts_with(&format!("{key}:/etc/realtime-token/")));
    let kept = format!("/run/{}", value("RuntimeDirectory"));
    assert_eq!(
        (args.directory, value("RuntimeDirectoryPreserve")),
        (PathBuf::from(kept), "yes")
    );
    assert_eq!(value("RuntimeDirectoryMode"), "0700");
    assert_eq!(
        value("RestartPreventExitStatus"),
        "2",
        "what `local` ends with for a wrong manifest"
    );
    for hardening in [
        "NoNewPrivileges",
        "ProtectHome",
        "PrivateTmp",
        "RestrictNamespaces",
        "MemoryDenyWriteExecute",
    ] {
        assert_eq!(value(hardening), "yes", "{hardening}");
    }
    assert_eq!((value("ProtectSystem"), value("CapabilityBoundingSet")), ("strict", ""));
}
