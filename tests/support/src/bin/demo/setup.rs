//! What the demo sets up, and takes down again by dropping it.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use testkit::{
    build,
    cluster::{Cluster, Namespace},
    kubectl,
    operator::Operator,
    ports,
    standin::{self, Provider, Recording, StandIn},
};

use crate::{act::OPENAI_KEY, kubectl::Kubectl, lines::say, open};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The addresses in the manifests, for the stand-in's own: the one that OpenAI and ElevenLabs share, and Deepgram's.
const PLACEHOLDERS: [&str; 2] = ["http://127.0.0.1:8089", "http://127.0.0.1:8090"];

/// Where ElevenLabs has a fixed life, the stand-in grants what OpenAI is asked for.
const LIFE_SECONDS: u32 = 40;

/// The API keys that the stand-in takes, by Secret.
const KEYS: [(&str, &str); 3] = [("openai", OPENAI_KEY), ("elevenlabs", "xi-fake"), ("deepgram", "DGKEY")];

/// What must be on the machine.
pub(crate) struct Requirements {
    operator: PathBuf,
    kubectl: PathBuf,
    cluster: Option<PathBuf>,
}

impl Requirements {
    /// Finds, downloads or builds it; an error names what is missing and the way out.
    pub(crate) fn gather(operator: &Path) -> Result<Self> {
        if !operator.is_file() {
            bail!(
                "no operator at {}: `make demo` builds one, --operator names another",
                operator.display()
            );
        }
        let kubectl = kubectl::kubectl()?;
        let cluster = env::var_os("CLUSTER").filter(|it| !it.is_empty()).map(PathBuf::from);
        if cluster.is_none() {
            build::control_plane()?;
        }
        Ok(Self {
            operator: operator.to_owned(),
            kubectl,
            cluster,
        })
    }
}

/// All that runs. Fields drop from top to bottom: first the operator, last what it depends on.
pub(crate) struct Setup {
    pub(crate) operator: Operator,
    /// Where it is asked for tokens.
    pub(crate) requests: SocketAddr,
    pub(crate) namespace: Namespace,
    pub(crate) standin: StandIn,
    folder: TempDir,
    pub(crate) cluster: Cluster,
}

impl Setup {
    /// Starts everything and applies the example.
    pub(crate) async fn start(requirements: Requirements) -> Result<Self> {
        let cluster = open::open(requirements.cluster).await?;
        cluster.apply_crds(format!("{REPOSITORY}/crds")).await?;
        let namespace = cluster.namespace("rtt-demo").await?;
        say(&format!("applied crds/, created namespace {}", namespace.name()));

        let standin = StandIn::start(standin::Options::default())?;
        standin.set_recording(Recording::Counts);
        standin.set_life(Provider::ElevenLabs, Some(LIFE_SECONDS));
        say(&format!(
            "a strict stand-in plays OpenAI, ElevenLabs and Deepgram at {}",
            standin.url()
        ));

        let folder = tempfile::Builder::new().prefix("rtt-demo-").tempdir()?;
        let binary = &requirements.operator;
        let requests = ports::free()?;
        let mut operator = Operator::builder(binary, cluster.kubeconfig())
            .namespace(namespace.name())
            .arg("--allow-endpoint")
            .arg(standin.origins().join(","))
            .arg(format!("--requests-listen={requests}"))
            .log_file(folder.path().join("operator.log"))
            .start()?;
        operator.wait_ready().await?;
        say(&format!("the operator runs: {}", binary.display()));

        let (original, name) = (cluster.kubeconfig(), namespace.name());
        let kubectl = Kubectl::prepare(requirements.kubectl, original, name, binary, folder.path()).await?;
        for (name, key) in KEYS {
            let key = format!("--from-literal=api-key={key}");
            kubectl.run(&["create", "secret", "generic", name, &key], "").await?;
        }
        for (file, manifest) in manifests(&standin)? {
            kubectl.run(&["apply", "--filename=-"], &manifest).await?;
            say(&format!("kubectl apply --filename={file}"));
        }
        Ok(Self {
            operator,
            requests,
            namespace,
            standin,
            folder,
            cluster,
        })
    }

    /// How to look for oneself: lines to copy into another terminal, the first one once.
    pub(crate) fn guide(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        let metrics = self.operator.metrics_addr();
        vec![
            format!("export KUBECONFIG={folder}/kubeconfig PATH={folder}/bin:$PATH"),
            "kubectl get rtt".to_owned(),
            "kubectl realtime-token status voice".to_owned(),
            "kubectl get secret voice -o jsonpath='{.data.token\\.json}' | base64 -d".to_owned(),
            format!("cat {folder}/pod/voice/token.json"),
            format!("curl {metrics}/metrics"),
            format!("tail -f {folder}/operator.log"),
        ]
    }

    /// Where a pod's files are.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("pod")
    }

    /// The end of the operator's log, for an error.
    pub(crate) fn log_tail(&self) -> String {
        let logs = self.operator.logs();
        let lines: Vec<&str> = logs.lines().collect();
        let from = lines.len().saturating_sub(20);
        format!("The end of the operator's log:\n{}", lines[from..].join("\n"))
    }
}

fn manifests(standin: &StandIn) -> Result<Vec<(String, String)>> {
    let origins = [standin.url(), standin.origin("deepgram")];
    let read = |name: &str| {
        let file = format!("examples/demo/{name}.yaml");
        let text = fs::read_to_string(format!("{REPOSITORY}/{file}")).with_context(|| format!("read {file}"))?;
        let filled = PLACEHOLDERS.iter().zip(&origins);
        let text = filled.fold(text, |text, (placeholder, origin)| text.replace(placeholder, origin));
        Ok((file, text))
    };
    ["openai", "elevenlabs", "worker", "users"]
        .into_iter()
        .map(read)
        .collect()
}
