//! What must not pass.

use super::*;

const TERMS: Terms = Terms {
    sync: None,
    life: 165,
    renewal: Some((5, 15)),
};

fn at(second: f64) -> Timestamp {
    Timestamp::from_millisecond(1_795_334_400_000 + (second * 1000.0) as i64).unwrap()
}

fn minted(seconds: &[f64]) -> Vec<Minted> {
    let numbered = seconds.iter().enumerate();
    numbered
        .map(|(index, second)| Minted {
            at: at(*second),
            token: format!("ek_{index}"),
        })
        .collect()
}

fn content(index: usize, expires_at: f64) -> String {
    let expires_at = at(expires_at).as_millisecond();
    format!(r#"{{"provider":"openai","token":"ek_{index}","expiresAt":{expires_at},"config":{{}}}}"#)
}

fn look(second: f64, content: impl Into<String>) -> Look {
    Look {
        at: at(second),
        content: Ok(content.into().into_bytes()),
    }
}

fn refusal(looks: &[Look], mints: &[f64]) -> String {
    let error = check(looks, &minted(mints), Provider::OpenAi, TERMS).unwrap_err();
    format!("{error:#}")
}

fn rotated() -> Vec<Look> {
    vec![
        look(1.0, content(0, 165.0)),
        look(86.0, content(0, 165.0)),
        look(87.0, content(1, 245.0)),
    ]
}

#[test]
fn a_rotation_is_counted_and_measured() {
    let figures = check(&rotated(), &minted(&[0.0, 80.0]), Provider::OpenAi, TERMS).unwrap();
    assert_eq!((figures.rotations, figures.looks), (1, 3));
    assert_eq!((figures.least, figures.longest_gap), (79.0, 85.0));
    assert_eq!(figures.delays, [7.0]);
}

#[test]
fn a_life_below_the_floor_is_refused() {
    let mut looks = rotated();
    looks.insert(2, look(160.1, content(0, 165.0)));
    let said = refusal(&looks, &[0.0, 80.0]);
    assert!(
        said.contains("had 4.9 s of life left, below the floor of 5 s"),
        "{said}"
    );
}

#[test]
fn what_is_torn_missing_or_strange_is_refused() {
    let mut changed = content(0, 165.0);
    changed = changed.replace("{}", r#"{"model":"other"}"#);
    for (strange, expected) in [
        (look(2.0, &content(0, 165.0)[..40]), "no JSON"),
        (look(2.0, ""), "no JSON"),
        (look(2.0, changed), "token 1 changed"),
        (look(2.0, content(7, 165.0)), "was not minted"),
        (look(2.0, content(0, 165.0).replace("openai", "xai")), "of provider"),
        (look(2.0, content(0, 175.0)), "10.0 s off"),
        (
            Look {
                at: at(2.0),
                content: Err("No such file".into()),
            },
            "no token: No such file",
        ),
    ] {
        let mut looks = rotated();
        looks.insert(1, strange);
        let said = refusal(&looks, &[0.0, 80.0]);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn tokens_come_in_their_turn_and_none_too_many() {
    let mut back = rotated();
    back.push(look(88.0, content(0, 165.0)));
    assert!(refusal(&back, &[0.0, 80.0]).contains("token 1 after 2"));
    let said = refusal(&rotated(), &[0.0, 80.0, 160.0]);
    assert!(said.contains("3 tokens were minted, but its pod read 2"), "{said}");
    assert!(refusal(&rotated()[2..], &[0.0, 80.0]).contains("began with token 2"));
    let early = [look(1.0, content(0, 165.0)), look(21.0, content(1, 185.0))];
    assert!(refusal(&early, &[0.0, 20.0]).contains("20.0 s after the one before"));
    assert!(refusal(&[], &[0.0]).contains("read nothing"));
}
