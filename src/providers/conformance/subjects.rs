//! The subject of a request: in the provider's place for it and nowhere else, whole or refused.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use super::*;
use crate::mint::request::component;

/// Like nothing else that is sent. A number, which every field takes.
const SUBJECT: &str = "4242424242";

/// Specs of a file that could be applied as they are.
fn specs(file: &Conformance) -> Vec<(&Value, &Value)> {
    let requests = file.requests.iter();
    let requests = requests.map(|case| (&case.spec, case.secret.as_ref().unwrap_or(&file.secret)));
    let accepted = file.rules.accept.iter().map(|spec| (spec, &file.secret));
    std::iter::once((&file.example, &file.secret))
        .chain(requests)
        .chain(accepted)
        .filter(|(spec, _)| spec.pointer("/credentials").is_none() && spec.pointer("/daily/notBefore").is_none())
        .collect()
}

/// The texts of a request or of a token that is signed here, decoded, each with its place.
fn leaves(ask: &Ask, secret: &Value) -> Result<Vec<(String, String)>, MintError> {
    let credential = credential(ask, secret);
    let mint = mint(ask, &credential, NOW);
    let mut found = Vec::new();
    match ask.block.provider().start(&mint)? {
        Step::Send(request) => {
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
                texts_in(&serde_json::from_str(&body).unwrap(), "body ", &mut found);
            }
        }
        Step::Done(answer) => {
            let token = answer.value.expose_secret();
            if let Some(packed) = token.strip_prefix("007") {
                let packed = base64::engine::general_purpose::STANDARD.decode(packed).unwrap();
                let packed = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap();
                let text = packed.into_iter().map(char::from).collect();
                found.push(("packed".to_owned(), text));
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
        }
    }
    Ok(found)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn texts_in(value: &Value, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                assert_ne!(name, SUBJECT, "{place}: a name");
                texts_in(value, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                texts_in(item, &format!("{place}/{nth}"), found);
            }
        }
        Value::String(text) => found.push((place.to_owned(), text.clone())),
        other => found.push((place.to_owned(), other.to_string())),
    }
}

#[test]
fn a_subject_is_in_its_place_and_nowhere_else() {
    for file in all().unwrap() {
        let places = file.subject.as_ref().map(|subject| subject.places.clone());
        let places: BTreeSet<String> = places.unwrap_or_default().into_iter().collect();
        let mut found = BTreeSet::new();
        for (spec, secret) in specs(&file) {
            let ask = ask_for(spec, Some(SUBJECT));
            let documented = ask.block.provider().facts().subject;
            assert_eq!(
                documented.is_some(),
                file.subject.is_some(),
                "{}: the documentation",
                file.field
            );
            let leaves = leaves(&ask, secret).unwrap().into_iter();
            for (place, _) in leaves.filter(|(_, text)| text.contains(SUBJECT)) {
                assert!(places.contains(&place), "{}: {spec}: {place}", file.field);
                found.insert(place);
            }
        }
        assert_eq!(found, places, "{}", file.field);
    }
}

/// Whatever it is made of: in a header, a path, a query, JSON, a claim.
#[test]
fn every_visible_character_arrives_or_is_refused_as_the_subjects() {
    for file in all().unwrap() {
        for (spec, secret) in specs(&file) {
            let named = leaves(&ask_for(spec, Some(SUBJECT)), secret).unwrap();
            let places = named.iter().filter(|(_, text)| text.contains(SUBJECT));
            let places: Vec<&String> = places.map(|(place, _)| place).collect();
            for c in '!'..='~' {
                let subject = format!("a{c}b{c}");
                let mut block = ask(spec).block;
                if let Err(message) = block.name_subject(&subject) {
                    assert!(message.starts_with("subject: "), "{}: {message}", file.field);
                    assert!(!message.contains(&subject), "{}: {message}", file.field);
                    continue;
                }
                let ask = ask_for(spec, Some(&subject));
                let leaves = leaves(&ask, secret).unwrap();
                for (place, text) in leaves.iter().filter(|(place, _)| places.contains(&place)) {
                    let before = named.iter().filter(|(it, _)| it == place).map(|(_, text)| text);
                    let mut expected = before.map(|text| text.replace(SUBJECT, &subject));
                    let arrived = place == "packed" && text.contains(&subject) || expected.any(|it| it == *text);
                    assert!(arrived, "{}: {place}: {subject:?} became {text:?}", file.field);
                }
            }
        }
    }
}

#[test]
fn one_that_is_too_long_is_refused_with_the_bound() {
    for file in all().unwrap() {
        let Some(subject) = &file.subject else { continue };
        let specs = specs(&file).into_iter().map(|(spec, _)| ask(spec).block);
        let named = |length: usize| {
            // Where a text fits at all, and not a number only.
            let blocks = specs
                .clone()
                .filter_map(|mut block| block.name_subject("a").ok().map(|()| block));
            blocks
                .filter_map(|mut block| block.name_subject(&"a".repeat(length)).err())
                .collect::<Vec<_>>()
        };
        assert_eq!(named(subject.longest), [""; 0], "{}", file.field);
        let refused = named(subject.longest + 1);
        assert!(subject.longest == 128 || !refused.is_empty(), "{}", file.field);
        let bound = format!("takes at most {}", subject.longest);
        assert!(refused.iter().all(|message| message.contains(&bound)), "{refused:?}");
    }
}

/// Providers echo what they refuse.
#[test]
fn no_error_and_no_debug_repeats_a_subject() {
    for file in all().unwrap() {
        for (spec, secret) in specs(&file) {
            let subject = SUBJECT;
            let ask = ask_for(spec, Some(subject));
            assert!(!format!("{ask:?}").contains(subject), "{ask:?}");
            let credential = credential(&ask, secret);
            let Step::Send(request) = ask.block.provider().start(&mint(&ask, &credential, NOW)).unwrap() else {
                continue;
            };
            assert!(!format!("{request:?}").contains(subject), "{request:?}");
            let encoded = component(subject);
            for status in [200, 201, 400, 401, 403, 404, 409, 422, 429, 500, 503] {
                for body in [
                    json!({"error": {"message": format!("no user {subject} here"), "code": subject, "type": subject}}),
                    json!({"detail": {"message": format!("/users/{encoded}"), "status": subject, "request_id": subject}}),
                    json!({"error": subject, "error_description": format!("AADSTS1: {subject}")}),
                    json!({"message": subject}),
                ] {
                    let file = Conformance {
                        secret: secret.clone(),
                        ..file.clone()
                    };
                    let headers = BTreeMap::from([("x-request-id".to_owned(), subject.to_owned())]);
                    let error = answered(&file, &ask, 0, status, &headers, &body).unwrap_err();
                    let text = format!("{error} {error:?}");
                    assert!(!text.contains(subject), "{}: {status} {body}: {text}", file.field);
                }
            }
        }
    }
}
