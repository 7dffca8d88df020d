//! Mistakes at the operator's start: one sentence each, in the log of one that goes on trying or as the last word of one
//! that ends.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use testkit::operator::Operator;
use testkit::wait;

use super::{Made, hold, made};
use crate::world::DEADLINE;

pub const SECTION: &str = "When the operator starts";

const BINARY: &str = env!("CARGO_BIN_EXE_realtime-token-operator");
/// A bad start is tried every two seconds; what is logged more than once shows by then.
const A_FEW_ATTEMPTS: Duration = Duration::from_secs(5);

/// A start with what was typed.
pub struct Start {
    kubeconfig: PathBuf,
    env: Vec<(&'static str, String)>,
    args: Vec<String>,
}

impl Start {
    pub fn with(kubeconfig: impl Into<PathBuf>) -> Self {
        Self {
            kubeconfig: kubeconfig.into(),
            env: Vec::new(),
            args: Vec::new(),
        }
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    fn operator(&self) -> Operator {
        let mut builder = Operator::builder(BINARY, &self.kubeconfig);
        for (name, value) in &self.env {
            builder = builder.env(name, value);
        }
        let builder = self.args.iter().fold(builder, |builder, arg| builder.arg(arg));
        builder.start().unwrap()
    }

    /// What it says at its end.
    async fn ends(self) -> String {
        let mut operator = self.operator();
        let status = operator.wait_exit(DEADLINE).await.unwrap();
        assert!(!status.success());
        let logs = operator.logs();
        let said = logs.lines().position(|line| line.starts_with("error: ")).unwrap();
        logs.lines().skip(said).collect::<Vec<_>>().join("\n")
    }

    /// The one warning that it logs in several attempts.
    pub async fn warns(self) -> String {
        let mut said = self.warnings().await;
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0)
    }

    /// What it warns of in several attempts.
    pub async fn warnings(self) -> Vec<String> {
        let operator = self.operator();
        let warnings = || -> Vec<String> {
            let logs = operator.logs();
            let lines = logs.lines().filter(|line| !line.contains(" INFO "));
            lines.map(str::to_owned).collect()
        };
        wait::until("a warning", DEADLINE, async || {
            Ok((!warnings().is_empty()).then_some(()))
        })
        .await
        .unwrap();
        tokio::time::sleep(A_FEW_ATTEMPTS).await; // what is awaited is that nothing more is said
        warnings()
    }
}

/// A kubeconfig of one context, `demo`, and of another current one.
fn kubeconfig(folder: &tempfile::TempDir, server: &str, current: &str) -> PathBuf {
    let file = folder
        .path()
        .join(format!("{current}-{}", server.replace(['/', ':'], "-")));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current}\n\
         clusters: [{{name: demo, cluster: {{server: \"{server}\"}}}}]\n\
         contexts: [{{name: demo, context: {{cluster: demo, user: demo}}}}]\n\
         users: [{{name: demo, user: {{token: none}}}}]\n"
    );
    fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn what_the_operator_says_of_a_bad_start() {
    let folder = tempfile::tempdir().unwrap();
    let down = || Start::with(kubeconfig(&folder, "https://127.0.0.1:9", "demo"));
    let far = || Start::with(kubeconfig(&folder, "https://10.1.2.3:6443", "demo"));
    let web = testkit::standin::StandIn::start(Default::default()).unwrap();
    let no_cluster = Start::with(kubeconfig(&folder, &web.url(), "demo"));
    let proxy = far().env("HTTPS_PROXY", "http://me:secret@127.0.0.1:9");
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = port.local_addr().unwrap().to_string();
    let (down_says, proxy_says, web_says) = tokio::join!(
        down().env("HTTPS_PROXY", "http://127.0.0.1:1").warns(),
        proxy.warns(),
        no_cluster.warns(),
    );
    assert!(!proxy_says.contains("secret"), "{proxy_says}");
    let rows: Vec<Made> = vec![
        made("the cluster is down", "start that cluster", down_says),
        made("the proxy is down", "list 10.1.2.3 in NO_PROXY", proxy_says),
        made(
            "the address is another server's",
            "check the address in the kubeconfig",
            web_says,
        ),
        made(
            "no kubeconfig",
            "set KUBECONFIG",
            Start::with("").env("HOME", "/nonexistent").ends().await,
        ),
        made(
            "a kubeconfig that doesn't exist",
            "set KUBECONFIG",
            Start::with("/nonexistent/kubeconfig").ends().await,
        ),
        made(
            "a context that doesn't exist",
            "kubectl config use-context",
            Start::with(kubeconfig(&folder, "https://127.0.0.1:9", "staging"))
                .ends()
                .await,
        ),
        made(
            "a proxy that is no URL",
            "write it as",
            far().env("HTTPS_PROXY", "::secret").ends().await,
        ),
        made(
            "a port in use",
            "choose another",
            down().args(&["--metrics-listen", &taken]).ends().await,
        ),
        made(
            "an unknown flag",
            "--help",
            down().args(&["--watch-namespace", "shop"]).ends().await,
        ),
        made(
            "an endpoint without a scheme",
            "such as https://",
            down().args(&["--allow-endpoint", "gw.example"]).ends().await,
        ),
        made(
            "a CA bundle that doesn't exist",
            "PEM",
            down().args(&["--ca-bundle", "/nonexistent.pem"]).ends().await,
        ),
    ];
    drop(port);
    hold(SECTION, &rows);
}

#[tokio::test]
async fn the_start_says_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let start = Start::with(kubeconfig(&folder, "https://127.0.0.1:9", "demo")).args(&[
        "--watch-namespaces=shop,clinic",
        "--allow-endpoint=https://gw.example",
        "--leader-elect",
        "--namespace=platform",
        "--lease-name=ours",
    ]);
    let expected = format!(
        "realtime-token-operator {} for the cluster https://127.0.0.1:9 (context demo); namespaces: shop, clinic; \
         ClusterRealtimeProviders: served; endpoints beside the providers' own: https://gw.example; leader election: by \
         Lease platform/ours",
        env!("CARGO_PKG_VERSION")
    );
    let operator = start.operator();
    wait::until("the first line", DEADLINE, async || {
        Ok(operator.logs().contains(&expected).then_some(()))
    })
    .await
    .unwrap();
}
