//! `mint`: the token, the files, what is refused and what is warned of.

use serde_json::{Value, json};
use testkit::standin::Fault;

use super::{KEY, Said, Setup};

#[test]
fn mint_prints_the_token_and_nothing_else() {
    let mut setup = Setup::new();
    let json = setup.manifest(&setup.openai());
    let url = setup.standin.url();
    let yaml = format!(
        "# a comment\napiVersion: realtime-token.dev/v1alpha1\nkind: RealtimeToken\nmetadata: {{name: voice}}\nspec:\n  \
         openai: {{model: gpt-realtime-2.1, endpoint: \"{url}\", reuse: Multiple}}\n  credentials: {{secretRef: {{name: key}}}}\n"
    );
    let (json_file, yaml_file) = (setup.file("t.json", &json), setup.file("t.yaml", &yaml));
    let allow = ["--allow-endpoint", url.as_str()];
    let minted = |said: Said| {
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        let token: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(said.out.lines().count(), 1);
        assert_eq!(token["token"], setup.standin.issued().last().unwrap().as_str());
        token
    };
    for file in [&json_file, &yaml_file] {
        let token = minted(setup.mint(file));
        assert_eq!(token["provider"], "openai");
        assert_eq!(token["config"], json!({"model": "gpt-realtime-2.1"}));
    }
    for text in [&json, &yaml] {
        minted(setup.say(&[&["mint", "-f", "-"][..], &allow].concat(), text));
    }
    let spec = json!({
        "elevenlabs": {"agentId": "agent_1", "endpoint": url}, "credentials": {"secretRef": {"name": "key"}},
    });
    let elevenlabs = setup.file("e.json", setup.manifest(&spec));
    let key_file = setup.file("key", format!("{KEY}\n"));
    setup.env = vec![("ELEVENLABS_API_KEY", KEY.to_owned())];
    let mint = |args: &[&str]| setup.say(&[&["mint", "-f"][..], args, &allow].concat(), "");
    let token = {
        let said = mint(&[&elevenlabs]);
        assert_eq!(said.code, Some(0), "{said:?}");
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    assert_eq!(token["provider"], "elevenlabs");
    let said = mint(&[&json_file, "--api-key-file", &key_file]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_manifest_that_is_none_is_told_in_one_line() {
    let setup = Setup::new();
    let one = setup.manifest(&setup.openai());
    let with = |pointer: &str, value: Value| {
        let mut spec = setup.openai();
        spec[pointer] = value;
        setup.manifest(&spec)
    };
    let folder = setup.folder.path().to_str().unwrap();
    setup
        .say(&["mint", "-f", "none.yaml"], "")
        .fails(1, "can't read none.yaml: No such file");
    setup
        .say(&["mint", "-f", folder], "")
        .fails(1, &format!("can't read {folder}: Is a directory"));
    setup.say(&["mint", "-f", "-"], "").fails(1, "standard input: is empty");
    for (content, said) in [
        (vec![b'#'; 2 * 1024 * 1024], "is larger than 1 MiB"),
        (b"".to_vec(), ": is empty; give one RealtimeToken"),
        (b"\xff\xfe".to_vec(), ": is not UTF-8 text"),
        (
            b"a: [\n  canary: }".to_vec(),
            ": is neither YAML nor JSON: line 1 column 4",
        ),
        (b"a: *canary\n".to_vec(), ": is neither YAML nor JSON: line 1"),
        (b"text".to_vec(), ": is not a Kubernetes object"),
        (
            format!("{one}\n---\n{one}\n").into_bytes(),
            ": holds 2 RealtimeTokens; choose one with --name: voice, voice",
        ),
        (
            b"kind: Secret\napiVersion: v1\n".to_vec(),
            ": is kind \"Secret\" of \"v1\"; give a RealtimeToken",
        ),
        (
            one.replace("\"spec\"", "\"specs\"").into_bytes(),
            ": unknown field \"specs\"; known here are apiVersion, kind, metadata, spec, status",
        ),
        (
            one.replace("model", "modle").into_bytes(),
            ": unknown field \"spec.openai.modle\"; known here are",
        ),
        (
            one.replace("1alpha1", "1").into_bytes(),
            ": is kind \"RealtimeToken\" of \"realtime-token.dev/v1\"",
        ),
        (
            with("elevenlabs", json!({"agentId": "a"})).into_bytes(),
            ": spec: Invalid value: set exactly one provider block: openai, elevenlabs, ",
        ),
        (
            with("expirationSeconds", json!(9)).into_bytes(),
            ": spec: Invalid value: expirationSeconds: OpenAI client secrets live 10 to 7200 seconds",
        ),
        (
            with("expirationSeconds", json!("600")).into_bytes(),
            ": spec.expirationSeconds: Invalid value: \"string\": spec.expirationSeconds in body must be of type integer",
        ),
        (
            with("twilio", json!({"identity": "a"})).into_bytes(),
            ": spec: Invalid value: set exactly one provider block: ",
        ),
        (
            with("credentials", json!({})).into_bytes(),
            ": spec.credentials: Invalid value: set exactly one of credentials.secretRef",
        ),
        (
            with("suspend", json!([[[[]]]])).into_bytes(),
            ": spec.suspend: Invalid value: \"array\": spec.suspend in body must be of type boolean: \"array\"",
        ),
        (
            [b"[".repeat(100_000), b"]".repeat(100_000)].concat(),
            ": is neither YAML nor JSON: ",
        ),
    ] {
        let file = setup.file("bad", content);
        setup.mint(&file).fails(1, "");
        let error = setup.mint(&file).err;
        assert!(error.contains(said), "expected {said}\n{error}");
    }
    assert_eq!(setup.standin.count(), 0);
}

/// What a cluster would say of the token goes to standard error, and the token all the same to standard output.
/// Nothing is exchanged without a cluster, and the token is minted with a key all the same.
#[test]
fn mint_says_that_it_exchanges_nothing() {
    let setup = Setup::new();
    let mut spec = setup.openai();
    spec["credentials"] = json!({"workloadIdentity": {
        "serviceAccountName": "voice", "openai": {"identityProviderId": "i", "serviceAccountId": "s"},
    }});
    let said = setup.mint(&setup.file("keyless.json", setup.manifest(&spec)));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.err.contains("ServiceAccount voice") && said.err.contains("OPENAI_API_KEY"),
        "{said:?}"
    );
}

#[test]
fn warnings_are_no_failure() {
    let setup = Setup::new();
    let mut spec = setup.openai();
    spec["expirationSeconds"] = json!(60);
    let file = setup.file("t.json", setup.manifest(&spec));
    let said = setup.mint(&file);
    assert_eq!((said.code, said.out.lines().count()), (Some(0), 1), "{said:?}");
    let warning = "warning: in a cluster FreshnessGuaranteed would be False (LifetimeTooShort): a life of ";
    assert!(said.err.starts_with(warning), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
}

#[test]
fn files_in_place_of_the_token_on_standard_output() {
    let setup = Setup::new();
    let two = ["voice", "other"].map(|name| setup.manifest(&setup.openai()).replace("voice", name));
    let file = setup.file("t.yaml", two.join("\n---\n"));
    let url = setup.standin.url();
    let mint = |more: &[&str]| setup.say(&[&["mint", "-f", &file, "--allow-endpoint", &url], more].concat(), "");
    mint(&[]).fails(
        1,
        &format!("{file}: holds 2 RealtimeTokens; choose one with --name: voice, other"),
    );
    mint(&["--name", "mine"]).fails(1, &format!("{file}: holds no RealtimeToken mine; it has voice, other"));
    let said = mint(&["--name", "other", "--output-dir", "out"]);
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (Some(0), "", ""),
        "{said:?}"
    );
    let token = std::fs::read_to_string(setup.folder.path().join("out/token")).unwrap();
    assert_eq!(Some(&token), setup.standin.issued().last());
    let said = mint(&["--name", "other", "--output-dir", "."]);
    said.fails(1, "--output-dir: . holds ");
}

#[test]
fn a_key_that_is_missing_or_odd_is_told_and_not_repeated() {
    let mut setup = Setup::new();
    let manifest = setup.file("t.json", setup.manifest(&setup.openai()));
    setup.env = vec![];
    setup
        .mint(&manifest)
        .fails(1, "there is no API key: set OPENAI_API_KEY to the key of OpenAI");
    setup.env = vec![("OPENAI_API_KEY", " \n".to_owned())];
    setup.mint(&manifest).fails(1, "there is no API key");
    for odd in ["sk-canary\nsk-canary", "sk-canary\tx", "sk-canäry"] {
        setup.env = vec![("OPENAI_API_KEY", odd.to_owned())];
        let said = setup.mint(&manifest);
        said.fails(1, "the API key holds white space");
        assert!(
            said.err.contains("put the bare key in the variable OPENAI_API_KEY"),
            "{said:?}"
        );
    }
    let url = setup.standin.url();
    let file = setup.file("key", "sk-canary\nsk-canary\n");
    for (file, said) in [(file.as_str(), "the API key holds"), ("none", "can't read none: ")] {
        let args = [
            "mint",
            "-f",
            &manifest,
            "--allow-endpoint",
            &url,
            "--api-key-file",
            file,
        ];
        setup.say(&args, "").fails(1, said);
    }
    assert_eq!(setup.standin.count(), 0);
}

#[test]
fn a_provider_that_gives_no_token() {
    let mut setup = Setup::new();
    let manifest = setup.file("t.json", setup.manifest(&setup.openai()));
    setup
        .say(&["mint", "-f", &manifest], "")
        .fails(1, &format!("the endpoint {} is not allowed", setup.standin.url()));
    setup
        .say(&["mint", "-f", &manifest, "--allow-endpoint", "gw.example"], "")
        .fails(1, "--allow-endpoint: the endpoint \"gw.example\" has no scheme");
    assert_eq!(setup.standin.count(), 0);
    for (fault, said) in [
        (
            Fault::status(401),
            "answered 401. Check the API key in the variable OPENAI_API_KEY.",
        ),
        (
            Fault::status(429),
            "answered 429. The provider limits this API key: wait, then",
        ),
        (
            Fault::status(500),
            "answered 500. The provider is having trouble: try again later.",
        ),
    ] {
        setup.standin.fail_next(1, fault);
        let answer = setup.mint(&manifest);
        answer.fails(1, "");
        assert!(answer.err.contains(said), "{answer:?}");
    }
    setup.env = vec![("OPENAI_API_KEY", "sk-wrong-canary".to_owned())];
    setup.mint(&manifest).fails(1, "");
    setup.standin.stop();
    let answer = setup.mint(&manifest);
    answer.fails(1, "");
    assert!(answer.err.contains("refused the connection"), "{answer:?}");
}
