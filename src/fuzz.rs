//! What is fuzzed: every reader of bytes that others wrote. Compiled for tests and for the fuzzer alone (`fuzz/`).
//!
//! Each target takes any bytes, must not panic, and checks what holds of every input. Tests run them on the seeds in
//! `fuzz/seeds`, so that what was found once stays found.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fuzzer reports panics"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::admission::admit;
use crate::api::{PROVIDER_FIELDS, RealtimeTokenSpec};
use crate::cluster::Cached;
use crate::mint::endpoint::{Endpoint, EndpointPolicy, origin};
use crate::mint::expiry::{self, Clocks};
use crate::mint::refusal::responder;
use crate::mint::reply::Reply;
use crate::mint::retry_after::{date, retry_after, retry_after_of_limit};
use crate::mint::scrub::{is_clean, scrub};
use crate::mint::{Ask, Credential, Mint, Step, To, claims};
use crate::requests::body;
use crate::resolve::{block_of, expiration};
use crate::token::secret::template;
use crate::token::{MintError, Minted};

type Target = fn(&[u8]);

pub const TARGETS: [(&str, Target); 9] = [
    ("reply", reply),
    ("retry_after", retry_after_headers),
    ("date", date_header),
    ("origin", endpoint),
    ("template", target_template),
    ("placeholder", placeholder),
    ("object", object),
    ("scrub", scrubber),
    ("body", request_body),
];

const NOW: i64 = 1_795_334_400;
/// In none of the texts that targets make, and nowhere else.
const KEY: &str = "Zq7Zq8Zq9Zx0Zx1Zx2Zx3Zx4Zx5Zx6Zx7";

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// Each provider's example, as an ask with a key.
static ASKS: LazyLock<Vec<(Ask, Credential)>> =
    LazyLock::new(|| PROVIDER_FIELDS.iter().map(|field| ask_of(field)).collect());

fn ask_of(field: &str) -> (Ask, Credential) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let text = std::fs::read_to_string(folder.join(format!("{field}.yaml"))).expect(field);
    let file: Value = serde_saphyr::from_str(&text).expect(field);
    ask(&file["example"]).expect(field)
}

/// An ask of this spec, and a key for it; `None` if the spec won't do.
fn ask(spec: &Value) -> Option<(Ask, Credential)> {
    let mut spec = spec.clone();
    spec["credentials"] = json!({"secretRef": {"name": "key"}});
    let spec: RealtimeTokenSpec = serde_json::from_value(spec).ok()?;
    let block = block_of(&spec).ok()?;
    block.provider().validate().ok()?;
    let expiration = expiration(&spec, &block, None).ok()?;
    let fields = block.provider().secret_fields().iter();
    let credential = Credential::new(fields.map(|field| (field.key, KEY.into())));
    let ask = Ask {
        block,
        expiration,
        namespace: "shop".to_owned(),
        subject: None,
        of_caller: false,
    };
    Some((ask, credential))
}

fn mint<'a>(ask: &'a Ask, credential: &'a Credential) -> Mint<'a> {
    Mint {
        expiration: ask.expiration,
        credential,
        namespace: &ask.namespace,
        subject: None,
        ask: Some(ask),
        now: now(),
        nonce: [7; 16],
    }
}

/// What a status may say.
fn assert_presentable(message: &str) {
    assert!(!message.contains(KEY), "the key is in {message:?}");
    assert!(!message.contains('\u{1b}'), "an escape sequence in {message:?}");
    assert!(message.len() < 4096, "{} bytes of message", message.len());
}

/// A provider, an HTTP status, the number of the request, and a body: a token with an end, or an error without the key.
fn reply(data: &[u8]) {
    let [which, status, nth, body @ ..] = data else { return };
    const STATUSES: [u16; 12] = [200, 201, 204, 302, 400, 401, 403, 404, 408, 422, 429, 503];
    let (ask, credential) = &ASKS[usize::from(*which) % ASKS.len()];
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let (provider, mint) = (ask.block.provider(), mint(ask, credential));
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.to_vec(),
        clocks: Clocks::new(now(), Duration::from_millis(100), None),
        responder: responder(provider, &To::Endpoint),
    };
    let step = reply.read(provider, &mint, usize::from(*nth % 3));
    let result = step.and_then(|step| match step {
        Step::Done(answer) => reply.minted(provider, &mint, answer, now()).map(Some),
        Step::Send(_) => Ok(None),
    });
    match result {
        Ok(Some(minted)) => {
            let life = minted.usable_until.duration_since(now());
            assert!(life.is_positive() && life <= expiry::LONGEST, "it lives {life:?}");
            assert!(!minted.value.expose_secret().is_empty(), "an empty token");
        }
        Ok(None) => {}
        Err(error) => assert_presentable(&error.to_string()),
    }
    let text = String::from_utf8_lossy(body);
    let jwt = claims::expiry(&text);
    assert!(jwt.is_none() || text.split('.').count() == 3);
}

/// The lines of a text as the values of headers.
fn headers(data: &[u8], names: &[&'static str]) -> HeaderMap {
    let lines = data.split(|byte| *byte == b'\n').zip(names);
    let pairs = lines.filter_map(|(value, name)| {
        let value = HeaderValue::from_bytes(value).ok().filter(|value| !value.is_empty())?;
        Some((HeaderName::from_static(name), value))
    });
    pairs.collect()
}

/// However long an answer asks to wait, the wait is neither zero nor longer than is obeyed.
fn retry_after_headers(data: &[u8]) {
    const NAMES: [&str; 8] = [
        "retry-after",
        "retry-after-ms",
        "date",
        "x-ratelimit-reset",
        "x-ratelimit-reset-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens",
    ];
    let headers = headers(data, &NAMES);
    let delay = data
        .rsplit(|byte| *byte == b'\n')
        .next()
        .and_then(|line| std::str::from_utf8(line).ok());
    for wait in [
        retry_after(&headers, delay, now()),
        retry_after_of_limit(&headers, delay, now()),
    ] {
        let believable = |wait: SignedDuration| wait.is_positive() && wait <= SignedDuration::from_mins(10);
        assert!(wait.is_none_or(believable), "{wait:?}");
    }
}

/// Whatever clock the provider shows, an end that is believed lies between now and a month from now, by our clock.
fn date_header(data: &[u8]) {
    let (elapsed, rest) = data.split_first().unwrap_or((&0, &[]));
    let headers = headers(rest, &["date"]);
    let clocks = Clocks::new(now(), Duration::from_millis(u64::from(*elapsed) * 100), date(&headers));
    let (ask, _) = &ASKS[usize::from(*elapsed) % ASKS.len()];
    let lifetime = ask.block.provider().lifetime();
    for expiry in [
        crate::mint::Expiry::After(ask.expiration),
        crate::mint::Expiry::At(now() + SignedDuration::from_secs(600)),
    ] {
        if let Ok(end) = clocks.end(expiry, lifetime, ask.expiration) {
            let life = end.ours.duration_since(now());
            assert!(life.is_positive() && life <= expiry::LONGEST, "{life:?}");
        }
    }
}

/// What the list names is allowed, as it is spelled; nothing else is.
fn endpoint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(url) = origin(&text) {
        assert!(matches!(url.scheme(), "http" | "https"), "{url}");
        assert!(url.username().is_empty() && url.password().is_none(), "{url}");
        assert!(
            url.path() == "/" && url.query().is_none() && url.fragment().is_none(),
            "{url}"
        );
        assert!(url.host_str().is_some_and(|host| !host.is_empty()), "{url}");
    }
    let (listed, asked) = text.split_once('\n').unwrap_or((&text, &text));
    let denied = EndpointPolicy::default().check(&Endpoint::Custom(asked));
    assert!(denied.is_err(), "without a list {asked:?} is {denied:?}");
    let Ok(policy) = EndpointPolicy::parse([listed]) else {
        return;
    };
    assert!(
        policy.check(&Endpoint::Custom(listed)).is_ok(),
        "{listed:?} is on the list"
    );
    if let Ok(Some(url)) = policy.check(&Endpoint::Custom(asked)) {
        assert_eq!(
            url.origin(),
            origin(listed).unwrap().origin(),
            "{asked:?} by {listed:?}"
        );
    }
}

/// A template ends, is bounded, and says nothing of the token when it fails.
fn target_template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let minted = Minted {
        provider: "openai".into(),
        value: SecretString::from(KEY),
        issued_at: now(),
        usable_until: now(),
        expires_at: now(),
        config: Map::from_iter([("model".to_owned(), json!("m"))]),
        outputs: BTreeMap::new(),
    };
    let templates = BTreeMap::from([("key".to_owned(), text.clone().into_owned())]);
    match template::render(&templates, &minted) {
        Ok(rendered) => {
            let size: usize = rendered.iter().map(|(_, text)| text.expose_secret().len()).sum();
            assert!(size <= 256 * 1024, "{size} bytes");
        }
        Err(problem) => assert_presentable(&problem.to_string()),
    }
}

/// A placeholder in the request of `http` or in a claim of `jwt`.
fn placeholder(data: &[u8]) {
    let Some((which, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let spec = match which % 3 {
        0 => {
            json!({"jwt": {"name": "x", "algorithm": "HS256", "claims": {"a": text}, "params": {"user": "u"}}})
        }
        1 => json!({"http": {
            "name": "x", "endpoint": "https://x.example", "request": {"path": "/a", "json": {"a": text}},
            "params": {"user": "u"}, "ttl": {"fixedSeconds": 600}, "response": {"token": "/t", "expiry": [{"from": "Ttl"}]},
        }}),
        _ => json!({"http": {
            "name": "x", "endpoint": "https://x.example", "request": {"path": text, "query": {"a": text}},
            "ttl": {"fixedSeconds": 600}, "response": {"token": "/t", "expiry": [{"from": "Ttl"}]},
        }}),
    };
    let Some((ask, credential)) = ask(&spec) else { return };
    if let Err(error) = ask.block.provider().start(&mint(&ask, &credential)) {
        let error: MintError = error;
        assert_presentable(&error.to_string());
    }
}

/// An object as a watch brings it, and as `mint` and the admission check read it.
fn object(data: &[u8]) {
    if let Ok(cached) = serde_json::from_slice::<Cached>(data)
        && let Err(problem) = cached.read()
    {
        let _ = problem.to_string();
    }
    if let Ok(mut object @ Value::Object(_)) = serde_json::from_slice::<Value>(data) {
        object["apiVersion"] = json!("realtime-token.dev/v1alpha1");
        for kind in ["RealtimeToken", "ClusterRealtimeProvider"] {
            object["kind"] = json!(kind);
            match admit(&object) {
                Ok(admitted) => {
                    assert_eq!(admit(&admitted), Ok(admitted.clone()), "admitted is not admitted again");
                }
                Err(refusals) => assert!(!refusals.is_empty(), "refused for no reason"),
            }
        }
    }
}

/// No piece of a key stays in a text, in one line.
fn scrubber(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, text) = text.split_once('\n').unwrap_or((KEY, &text));
    // A shorter one, or one that holds signs, is no key of any provider.
    let plain = key.len() >= 8 && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let key = if plain { key } else { KEY };
    let credential = Credential::new([("api-key", SecretString::from(key))]);
    let scrubbed = scrub(text, &credential);
    assert!(!scrubbed.chars().any(char::is_control), "{scrubbed:?}");
    assert!(scrubbed.chars().count() <= 256, "{scrubbed:?}");
    let own_words = "redacted xi-api-key";
    let repeats_own_words = key
        .as_bytes()
        .windows(4)
        .any(|piece| own_words.as_bytes().windows(4).any(|own| own == piece));
    assert!(
        repeats_own_words || is_clean(&scrubbed, &credential),
        "{scrubbed:?} of {key}"
    );
}

/// What is read of a request's body is what `serde_json` reads of it; a key that is there twice is refused.
fn request_body(data: &[u8]) {
    let plain = serde_json::from_slice::<Value>(data);
    let Some(asked) = body::asked_in(data) else { return };
    let plain = plain.expect("the strict reader took what is no JSON");
    assert_eq!(asked.subject.as_deref(), plain["subject"].as_str());
    assert_eq!(asked.overrides.as_ref(), plain["overrides"].as_object());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each target has seeds, and they pass.
    #[test]
    fn the_seeds_pass() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (name, target) in TARGETS {
            let files = std::fs::read_dir(seeds.join(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
            assert!(files.len() >= 2, "{name} has {} seeds", files.len());
            for file in files {
                let data = std::fs::read(&file).unwrap();
                for end in 0..=data.len() {
                    target(&data[..end]); // cut anywhere, as a connection may be
                }
            }
        }
    }
}
