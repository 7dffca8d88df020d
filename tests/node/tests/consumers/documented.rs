//! The programs in docs/consuming.md that ask for a token, as they are but for the folders.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use testkit::node::Node;

use super::{
    event_named,
    script::Script,
    strict::{self, Pod},
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/consuming.md");

/// The first block of a language below a heading.
fn block(heading: &str, language: &str) -> String {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, below) = page.split_once(&format!("\n### {heading}\n")).unwrap();
    let (_, from) = below.split_once(&format!("```{language}\n")).unwrap();
    from.split_once("```").unwrap().0.to_owned()
}

/// With the folders of a pod of ours.
fn in_pod(text: &str, pod: &Pod) -> String {
    let token = pod.token_file.to_str().unwrap();
    let text = text.replace("/var/run/secrets/realtime-token.dev/token", token);
    text.replace("/var/run/realtime-token", pod.directory.to_str().unwrap())
}

/// What it prints, or its complaints.
async fn output(mut command: Command) -> Result<String, String> {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8([output.stdout, output.stderr].concat()).unwrap()),
    }
}

/// Runs a program that should print its token: after a refusal that it may wait out, and after one that it may not.
async fn asks(operator: &mut Script, program: impl Fn() -> Command, subject: &str) {
    let fault = async |operator: &mut Script, fault: Value| {
        operator.type_line(&fault.to_string()).await;
        event_named(operator, "fault").await;
    };
    fault(operator, json!({"status": 429, "headers": {"retry-after": "0"}})).await;
    let printed = output(program()).await.unwrap();
    let handed = event_named(operator, "handed").await;
    assert_eq!(handed["subject"], subject);
    assert_eq!(handed["overrides"], json!({"expirationSeconds": 60}));
    assert!(
        printed.contains(handed["token"].as_str().unwrap()),
        "not what was handed out"
    );

    let problem = json!({"reason": "MintFailed", "detail": "no such model"}).to_string();
    let headers = json!({"content-type": "application/problem+json", "retry-after": "0"});
    fault(operator, json!({"status": 502, "headers": headers, "body": problem})).await;
    let complaint = output(program()).await.unwrap_err();
    assert!(complaint.contains("502 MintFailed: no such model"), "{complaint}");
}

#[tokio::test]
async fn python_go_and_curl_ask_as_documented() {
    let (mut operator, pod) = strict::start(&Node::find().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();

    let asking = "print(json.dumps(request_token('u_python', {'expirationSeconds': 60})))";
    let python = format!("{}\n{asking}\n", in_pod(&block("Python", "python"), &pod));
    let python = || {
        let mut command = Command::new("python3");
        command.args(["-c", &python]);
        command
    };
    asks(&mut operator, python, "u_python").await;

    let go = in_pod(&block("Go", "go"), &pod).replace("package realtime", "package main");
    let binary = build(&format!("{go}{MAIN}"), folder.path()).await;
    asks(&mut operator, || Command::new(&binary), "u_go").await;

    let mut sh = Command::new("sh");
    sh.args(["-c", &in_pod(&block("curl", "sh"), &pod)]);
    let printed = output(sh).await.unwrap();
    let handed = event_named(&mut operator, "handed").await;
    assert_eq!(handed["subject"], "u_5f3a");
    assert!(printed.contains(handed["token"].as_str().unwrap()));

    let rest = operator.finish().await;
    assert!(rest.is_empty(), "more was asked for: {}", rest.len());
}

const MAIN: &str = r#"
func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	token, err := RequestToken(ctx, "u_go", map[string]any{"expirationSeconds": 60})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(token.Token)
}
"#;

async fn build(source: &str, folder: &Path) -> std::path::PathBuf {
    let (file, binary) = (folder.join("main.go"), folder.join("main"));
    fs::write(&file, source).unwrap();
    let mut go = Command::new(testkit::go::go().unwrap());
    go.args(["build", "-o"]).arg(&binary).arg(file).current_dir(folder);
    output(go).await.unwrap();
    binary
}
