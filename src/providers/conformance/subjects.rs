//! The subject of a request: in the provider's place for it and nowhere else, whole or refused.

use std::collections::BTreeSet;

use super::leaves::leaves;
use super::*;
use crate::mint::request::component;

/// Like nothing else that is sent. A number, which every field takes.
pub(super) const SUBJECT: &str = "4242424242";

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
                    assert!(
                        expected.any(|it| it == *text),
                        "{}: {place}: {subject:?} became {text:?}",
                        file.field
                    );
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
