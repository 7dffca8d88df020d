//! What the demo sets up, and takes down again by dropping it.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use tempfile::TempDir;
use testkit::{
    build,
    cluster::{Cluster, Namespace, Options},
    kubectl,
    operator::Operator,
    ports,
    standin::{self, Provider, Recording, StandIn},
};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    look,
    show::{bold, say},
};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The addresses in the manifests, for the stand-in's own: the one that OpenAI and ElevenLabs share, and Deepgram's.
const PLACEHOLDERS: [&str; 2] = ["http://127.0.0.1:8089", "http://127.0.0.1:8090"];

/// Where ElevenLabs has a fixed life, the stand-in grants what OpenAI is asked for.
const LIFE_SECONDS: u32 = 40;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What must be on the machine.
pub(crate) struct Props {
    operator: PathBuf,
    kubectl: PathBuf,
    cluster: Option<PathBuf>,
}

impl Props {
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
    standin: StandIn,
    log: PathBuf,
    _folder: TempDir,
    kubectl: PathBuf,
    pub(crate) cluster: Cluster,
}

impl Setup {
    /// Starts everything and applies the example.
    pub(crate) async fn set(props: Props) -> Result<Self> {
        let cluster = open_cluster(props.cluster).await?;
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
        let log = folder.path().join("operator.log");
        let requests = ports::free()?;
        let mut operator = Operator::builder(&props.operator, cluster.kubeconfig())
            .namespace(namespace.name())
            .arg("--allow-endpoint")
            .arg(standin.origins().join(","))
            .arg(format!("--requests-listen={requests}"))
            .log_file(&log)
            .start()?;
        operator.wait_ready().await?;
        say(&format!("the operator runs: {}", props.operator.display()));

        let setup = Self {
            operator,
            requests,
            namespace,
            standin,
            log,
            _folder: folder,
            kubectl: props.kubectl,
            cluster,
        };
        for (name, key) in [
            ("openai", "sk-test-fake"),
            ("elevenlabs", "xi-fake"),
            ("deepgram", "DGKEY"),
        ] {
            let key = format!("--from-literal=api-key={key}");
            let args = ["create", "secret", "generic", name, &key];
            setup.kubectl(&args, "").await?;
        }
        for (file, manifest) in setup.manifests()? {
            setup.kubectl(&["apply", "--filename=-"], &manifest).await?;
            say(&format!("kubectl apply --filename={file}"));
        }
        Ok(setup)
    }

    /// How to look for oneself: lines to copy into another terminal.
    pub(crate) fn guide(&self) -> String {
        let kubectl = if self.kubectl.parent().is_some_and(is_on_path) {
            "kubectl".to_owned()
        } else {
            self.kubectl.display().to_string()
        };
        let kubectl = format!("{kubectl} --kubeconfig {}", self.cluster.kubeconfig().display());
        let (namespace, metrics) = (self.namespace.name(), self.operator.metrics_addr());
        let here = format!("{kubectl} --namespace {namespace}");
        format!(
            "\n{}\n  \
             {kubectl} get rtt -A\n  \
             {here} get secret voice -o jsonpath='{{.data.token\\.json}}' | base64 -d\n  \
             {here} annotate rtt voice --overwrite realtime-token.dev/renew-requested-at=\"$(date)\"  # renews now\n  \
             {here} delete secret agent  # comes back at once\n  \
             {here} describe rtt users  # asked for every two seconds, by a server for its users\n  \
             curl http://{metrics}/metrics\n  \
             tail -f {}\n\n{}\n",
            bold("Look for yourself, in another terminal:"),
            self.log.display(),
            bold("Ctrl-C takes everything down.")
        )
    }

    /// The end of the operator's log, for an error.
    pub(crate) fn log_tail(&self) -> String {
        let logs = self.operator.logs();
        let lines: Vec<&str> = logs.lines().collect();
        let from = lines.len().saturating_sub(20);
        format!("The end of the operator's log:\n{}", lines[from..].join("\n"))
    }

    fn manifests(&self) -> Result<Vec<(String, String)>> {
        let origins = [self.standin.url(), self.standin.origin("deepgram")];
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

    async fn kubectl(&self, args: &[&str], input: &str) -> Result<()> {
        let mut child = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(self.cluster.kubeconfig())
            .args(["--namespace", self.namespace.name()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("run {}", self.kubectl.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Should it end early, its exit status and its words tell more than our broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let ended = tokio::time::timeout(START_TIMEOUT, child.wait_with_output()).await;
        let output = ended.with_context(|| format!("`kubectl {}` hangs", args[0]))??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`kubectl {}` failed: {}", args[0], said.trim());
        }
        Ok(())
    }
}

async fn open_cluster(named: Option<PathBuf>) -> Result<Cluster> {
    if let Some(kubeconfig) = named {
        let cluster = Cluster::named(&kubeconfig)?;
        make_sure_of_an_empty_house(cluster.client().await?)
            .await
            .with_context(|| format!("CLUSTER={}", kubeconfig.display()))?;
        say(&format!(
            "using the cluster of {}; the namespace goes afterwards, the CRDs stay",
            kubeconfig.display()
        ));
        return Ok(cluster);
    }
    let started = Instant::now();
    say("starting etcd, kube-apiserver and kube-controller-manager on loopback");
    let cluster = Cluster::start(Options {
        controller_manager: true,
        ..Options::default()
    })
    .await?;
    let took = started.elapsed().as_secs_f64();
    say(&format!("a Kubernetes API server is ready after {took:.1} s"));
    Ok(cluster)
}

/// Our operator serves the whole cluster: it would mint for everybody's RealtimeTokens, beside an operator that does so
/// already.
async fn make_sure_of_an_empty_house(client: Client) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let resource = look::resource();
    let crd = format!("{}.{}", resource.plural, resource.group);
    if crds.get_opt(&crd).await?.is_none() {
        return Ok(());
    }
    let tokens: Api<DynamicObject> = Api::all_with(client, &resource);
    let found = tokens.list(&ListParams::default().limit(1)).await?;
    match found.items.first() {
        None => Ok(()),
        Some(token) => bail!(
            "there are RealtimeTokens on it, such as {} in {}, and the demo's operator would serve them too; \
             name a cluster without any, or unset CLUSTER",
            token.metadata.name.as_deref().unwrap_or_default(),
            token.metadata.namespace.as_deref().unwrap_or_default(),
        ),
    }
}

fn is_on_path(folder: &Path) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|it| it == folder)
}
