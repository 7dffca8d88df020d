//! A request, or a token that is signed here, taken apart: each text in it with its place.

use percent_encoding::percent_decode_str;
use serde_json::Map;

use super::subjects::SUBJECT;
use super::*;

/// The texts of what the provider's first step sends or signs, decoded, each with its place: those that
/// [`testkit::conformance::Subject::places`] lists, and beside them `origin`, `method` and what `config` of token.json
/// is made of.
pub(super) fn leaves(ask: &Ask, secret: &Value) -> Result<Vec<(String, String)>, MintError> {
    let credential = credential(ask, secret);
    let mint = mint(ask, &credential, NOW);
    let mut found = Vec::new();
    match ask.block.provider().start(&mint)? {
        Step::Send(request) => {
            of_request(ask, &request, &mut found);
            of_config(ask.block.provider().config(), &mut found);
        }
        Step::Done(answer) => {
            let token = answer.value.expose_secret();
            if let Some(packed) = token.strip_prefix("007") {
                of_agora(packed, &mut found);
            } else if let Ok(list) = serde_json::from_str::<Value>(token) {
                texts_in(&list, "token ", &mut found);
            } else {
                let (header, claims) = parsed(token);
                texts_in(&header, "jose ", &mut found);
                texts_in(&claims, "claims ", &mut found);
            }
            for (name, value) in &answer.outputs {
                found.push((format!("output {name}"), value.expose_secret().to_owned()));
            }
            of_config(answer.config, &mut found);
        }
    }
    Ok(found)
}

fn of_config(config: Map<String, Value>, found: &mut Vec<(String, String)>) {
    for (name, value) in config {
        texts_in(&value, &format!("config /{name}"), found);
    }
}

fn of_request(ask: &Ask, request: &Request, found: &mut Vec<(String, String)>) {
    found.push(("origin".to_owned(), origin_of(ask, request)));
    found.push(("method".to_owned(), request.method.to_string()));
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let segments = path.split('/').map(|segment| ("path".to_owned(), decoded(segment)));
    found.extend(segments);
    let form = request.headers.get("content-type");
    let is_form = form.is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let body = String::from_utf8(request.bytes().to_vec()).unwrap();
    let pairs = query.split('&').map(|pair| ("query", pair));
    let form = body.split('&').filter(|_| is_form).map(|pair| ("form", pair));
    for (part, pair) in pairs.chain(form).filter(|(_, pair)| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        found.push((format!("{part} {}", decoded(name)), decoded(&value.replace('+', " "))));
    }
    for (name, value) in &request.headers {
        found.push((format!("header {name}"), value.to_str().unwrap().to_owned()));
    }
    if !is_form && !body.is_empty() {
        texts_in(&serde_json::from_str(&body).unwrap(), "body ", found);
    }
}

/// An AccessToken2 as Agora's SDK packs it: numbers are little-endian, and a text comes after its length.
fn of_agora(token: &str, found: &mut Vec<(String, String)>) {
    let packed = base64::engine::general_purpose::STANDARD.decode(token).unwrap();
    let packed = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap();
    let mut rest = packed.as_slice();
    text(&mut rest); // the signature
    let mut push = |place: &str, text: String| found.push((format!("packed {place}"), text));
    push("app", text(&mut rest));
    push("issued", number::<4>(&mut rest).to_string());
    push("expire", number::<4>(&mut rest).to_string());
    number::<4>(&mut rest); // the salt
    for _ in 0..number::<2>(&mut rest) {
        let (service, texts) = match number::<2>(&mut rest) {
            1 => ("rtc", &["channel", "user"][..]),
            2 => ("rtm", &["user"][..]),
            other => panic!("service {other}"),
        };
        for _ in 0..number::<2>(&mut rest) {
            let privilege = number::<2>(&mut rest);
            push(&format!("{service} {privilege}"), number::<4>(&mut rest).to_string());
        }
        for name in texts {
            push(&format!("{service} {name}"), text(&mut rest));
        }
    }
    assert!(rest.is_empty(), "{rest:?} is left over");
}

fn number<const BYTES: usize>(rest: &mut &[u8]) -> u32 {
    let bytes: [u8; BYTES] = *rest.split_off(..BYTES).unwrap().first_chunk().unwrap();
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn text(rest: &mut &[u8]) -> String {
    let length = usize::try_from(number::<2>(rest)).unwrap();
    rest.split_off(..length)
        .unwrap()
        .iter()
        .copied()
        .map(char::from)
        .collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// An object or list without anything in it is a leaf too: `{}` and `[]` say something to a provider.
fn texts_in(value: &Value, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                assert_ne!(name, SUBJECT, "{place}: a name");
                texts_in(value, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (nth, item) in items.iter().enumerate() {
                texts_in(item, &format!("{place}/{nth}"), found);
            }
        }
        Value::String(text) => found.push((place.to_owned(), text.clone())),
        other => found.push((place.to_owned(), other.to_string())),
    }
}
